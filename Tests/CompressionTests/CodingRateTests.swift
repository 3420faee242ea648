// SPDX-License-Identifier: Apache-2.0
import Glibc
import Kernels
import Testing

@testable import Compression

@Suite struct CodingRateTests {
    private func rate(metric: [Double], step: Double, columns: Int) throws -> CodingRate {
        try CodingRate(
            metric: metric, step: step, columns: columns, layer: 3, OpenBLAS(), on: ThreadPool(threads: 2))
    }

    /// Half a logarithm for each direction, and none for one that rounding hides.
    @Test func independentColumnsAddUp() throws {
        let n = 32, step = 0.5, rate = try rate(metric: identity(n), step: step, columns: n)
        let variances = (0..<n).map { $0 % 2 == 0 ? 0 : Double($0) }
        let moment = (0..<n * n).map { $0 % (n + 1) == 0 ? variances[$0 / n] : 0 }
        // The metric's diagonal is a thousandth larger than it was given.
        let expected = variances.reduce(0) { $0 + log2(1 + $1 * 1.001 * 12 / (step * step)) / 2 }
        #expect(abs(rate.bits(moment) - expected) < 1e-3 * expected)
        #expect(rate.bits(Array(repeating: 0, count: n * n)) == 0)
    }

    /// Columns that say the same are one direction; what a metric weighs more costs more.
    @Test func correlationSavesAndWeightCosts() throws {
        let n = 32, plain = try rate(metric: identity(n), step: 0.1, columns: n)
        let alike = Array(repeating: 1.0, count: n * n)
        #expect(plain.bits(alike) < 0.2 * plain.bits(identity(n)))
        let heavy = try rate(metric: identity(n).map { 4 * $0 }, step: 0.1, columns: n)
        #expect(abs(heavy.bits(identity(n)) - plain.bits(identity(n)) - Double(n)) < 0.1)
    }

    @Test func aMetricOfNothingIsRefused() throws {
        #expect(throws: CompressionError.self) {
            try rate(metric: Array(repeating: 0, count: 32 * 32), step: 0.1, columns: 32)
        }
    }
}
