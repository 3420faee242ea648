// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Evaluation

@Suite struct PlotTests {
    private func point(_ name: String, _ ratio: Double, _ divergence: Double, disk: Bool = false) -> QualityPlot.Point {
        QualityPlot.Point(policy: name, ratio: ratio, divergence: divergence, isDisk: disk)
    }

    @Test func everyPolicyHasAMarkAndALabel() throws {
        let svg = QualityPlot(points: [
            point("f16", 1, 0), point("a<b&c", 0.1, 0.02), point("a<b&c", 0.05, 0.02, disk: true),
            point("int8", 0.5, 1e-4),
        ]).svg
        #expect(svg.components(separatedBy: "<circle").count == 5)
        for label in [">f16<", ">a&lt;b&amp;c<", ">a&lt;b&amp;c (file)<", ">int8<"] { #expect(svg.contains(label)) }
        #expect(svg.hasPrefix("<svg") && svg.hasSuffix("</svg>\n") && !svg.contains("nan") && !svg.contains("inf"))
    }

    @Test func onePointIsAPlotToo() {
        #expect(!QualityPlot(points: [point("f16", 1, 0)]).svg.contains("nan"))
        #expect(QualityPlot(points: []).svg.contains("</svg>"))
    }

    @Test func axesPlaceTheirEndsInside() {
        let axis = LogAxis(values: [0.01, 1], from: 0, to: 100)
        #expect(axis.place(0.01) > 0 && axis.place(1) < 100)
        #expect(abs(axis.place(0.1) - (axis.place(0.01) + axis.place(1)) / 2) < 1e-9)
        #expect(axis.ticks.contains { abs($0 - 0.1) < 1e-12 })
    }

    @Test func labelsMoveApart() {
        #expect(QualityPlot.apart([10, 11, 50], by: 15, limit: 100) == [10, 25, 50])
        #expect(QualityPlot.apart([90, 95, 99], by: 10, limit: 100) == [80, 90, 100])
        #expect(QualityPlot.apart([], by: 10, limit: 100) == [])
    }
}
