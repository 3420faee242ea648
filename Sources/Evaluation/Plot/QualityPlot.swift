// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Divergence against bytes for all policies, as SVG: both axes logarithmic, below and to the left is better.
///
/// A filled circle is the size in memory; a ring is the size in a file, where that differs.
public struct QualityPlot {
    /// A place in the plot.
    struct Point: Equatable {
        var policy: String
        /// Share of the f16 cache.
        var ratio: Double
        /// Mean divergence, nats a token.
        var divergence: Double
        var isDisk: Bool

        var label: String { isDisk ? policy + " (file)" : policy }
    }

    private let points: [Point]
    private let x: LogAxis
    private let y: LogAxis
    /// Divergences below it are rounding noise and lie on the lower edge.
    static let floor = 1e-5

    /// A plot of reports.
    public init(reports: [PolicyReport]) {
        self.init(
            points: reports.flatMap { report -> [Point] in
                let figures = report.figures, divergence = figures.divergence.mean
                let memory = Point(policy: report.policy, ratio: figures.kvRatio, divergence: divergence, isDisk: false)
                // Closer than that, one mark would hide the other.
                guard abs(figures.kvRatioDisk - figures.kvRatio) > 0.02 * figures.kvRatio else { return [memory] }
                return [
                    memory,
                    Point(
                        policy: report.policy, ratio: figures.kvRatioDisk, divergence: divergence,
                        isDisk: true),
                ]
            })
    }

    init(points: [Point]) {
        self.points = points.map { point in
            var point = point
            point.divergence = max(point.divergence, Self.floor)
            return point
        }
        x = LogAxis(values: self.points.map(\.ratio), from: 80, to: 640)
        y = LogAxis(values: self.points.map(\.divergence), from: 440, to: 40)
    }

    /// The document.
    public var svg: String {
        """
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 500" font-family="DejaVu Sans, sans-serif" font-size="12">
        <rect width="800" height="500" fill="#ffffff"/>
        \(grid)
        <text x="360" y="485" text-anchor="middle">bytes of keys and values, share of f16 (filled: in memory, ring: in a file)</text>
        <text transform="translate(20 240) rotate(-90)" text-anchor="middle">KL divergence, nats a token</text>
        \(marks)
        </svg>

        """
    }

    private var grid: String {
        let vertical = x.ticks.map { tick in
            line(x.place(tick), 40, x.place(tick), 440, "#dddddd")
                + "<text x=\"\(number(x.place(tick)))\" y=\"458\" text-anchor=\"middle\" fill=\"#555555\">\(percent(tick))</text>"
        }
        let horizontal = y.ticks.map { tick in
            line(80, y.place(tick), 640, y.place(tick), "#dddddd")
                + "<text x=\"72\" y=\"\(number(y.place(tick) + 4))\" text-anchor=\"end\" fill=\"#555555\">\(plain(tick))</text>"
        }
        return (vertical + horizontal).joined(separator: "\n")
    }

    /// Marks, and labels to the right of all, moved apart where they would overlap.
    private var marks: String {
        let ordered = points.sorted { ($0.divergence, $0.label) > ($1.divergence, $1.label) }
        // As far apart as letters are high, and closer where there are many.
        let gap = min(15, 410 / Double(max(1, ordered.count)))
        let heights = Self.apart(ordered.map { y.place($0.divergence) }, by: gap, limit: 445)
        return zip(ordered, heights).map { point, height in
            let left = x.place(point.ratio), top = y.place(point.divergence)
            let color = "hsl(\((points.firstIndex { $0.policy == point.policy } ?? 0) * 137 % 360) 65% 42%)"
            let fill = point.isDisk ? "#ffffff" : color
            return line(left, top, 655, height, color)
                + "<circle cx=\"\(number(left))\" cy=\"\(number(top))\" r=\"5\" fill=\"\(fill)\" stroke=\"\(color)\" stroke-width=\"2\"/>"
                + "<text x=\"659\" y=\"\(number(height + 4))\">\(Self.escaped(point.label))</text>"
        }.joined(separator: "\n")
    }

    /// Heights in ascending order moved down, and up again where they would pass `limit`, until none is closer than `gap`.
    static func apart(_ heights: [Double], by gap: Double, limit: Double) -> [Double] {
        var moved = heights
        for i in moved.indices.dropFirst() { moved[i] = max(moved[i], moved[i - 1] + gap) }
        var lowest = limit
        for i in moved.indices.reversed() {
            moved[i] = min(moved[i], lowest)
            lowest = moved[i] - gap
        }
        return moved
    }

    static func escaped(_ text: String) -> String {
        text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
            .replacingOccurrences(of: ">", with: "&gt;")
    }

    private func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ color: String) -> String {
        "<line x1=\"\(number(x1))\" y1=\"\(number(y1))\" x2=\"\(number(x2))\" y2=\"\(number(y2))\" stroke=\"\(color)\" stroke-width=\"0.7\"/>"
    }

    private func number(_ value: Double) -> String { String(format: "%.1f", value) }
    private func percent(_ value: Double) -> String { plain(value * 100) + " %" }
    private func plain(_ value: Double) -> String { String(format: "%g", value) }
}

/// A logarithmic axis that holds some values.
struct LogAxis: Equatable {
    /// Powers of ten, and round numbers between them where there are few.
    let ticks: [Double]
    private let low: Double
    private let high: Double
    private let start: Double
    private let end: Double

    /// An axis for positive values, drawn from one coordinate to another.
    init(values: [Double], from start: Double, to end: Double) {
        let smallest = values.min() ?? 1, largest = values.max() ?? 1
        let low = smallest / 1.15, high = max(largest * 1.15, low * 2)
        self.low = low
        self.high = high
        self.start = start
        self.end = end
        let decades = Int(log10(low).rounded(.down))...Int(log10(high).rounded(.up))
        let steps: [Double] = high / low > 200 ? [1] : high / low > 20 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7]
        ticks = decades.flatMap { decade in steps.map { $0 * pow(10, Double(decade)) } }.filter {
            (low...high).contains($0)
        }
    }

    /// The coordinate of a value.
    func place(_ value: Double) -> Double { start + (end - start) * log(value / low) / log(high / low) }
}
