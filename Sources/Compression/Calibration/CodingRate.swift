// SPDX-License-Identifier: Apache-2.0
import Glibc
import Kernels

/// What rows cost to code, by rate-distortion theory for Gaussian rows: half a logarithm, for each of their principal directions
/// in the metric, of how far the variance exceeds what rounding may add. Real rows take fewer bits; differences are what counts.
struct CodingRate {
    private let columns: Int
    /// Of the metric in units of rounding's variance: lower triangular, [columns][columns].
    private let factor: [Float]
    private let blas: OpenBLAS
    private let pool: ThreadPool

    /// - Throws: ``CompressionError/degenerate(layer:reason:)`` where the metric is no positive matrix.
    init(
        metric: [Double], step: Double, columns: Int, layer: Int, _ blas: OpenBLAS, on pool: ThreadPool
    ) throws(CompressionError) {
        self.columns = columns
        self.blas = blas
        self.pool = pool
        let trace = (0..<columns).reduce(0) { $0 + metric[$1 * columns + $1] } / Double(columns)
        var scaled = metric.map { $0 * 12 / (step * step) }
        for i in 0..<columns { scaled[i * columns + i] += 1e-3 * trace * 12 / (step * step) }
        guard let factor = Self.cholesky(scaled, columns) else {
            throw .degenerate(layer: layer, reason: "its attention has no weight or is not finite")
        }
        self.factor = factor.map(Float.init)
    }

    /// Bits of a row with this second moment, [columns][columns].
    func bits(_ moment: [Double]) -> Double {
        let n = columns, moment = moment.map(Float.init)
        var half = Array(repeating: Float(0), count: n * n), whole = half
        blas.multiply(moment, factor, into: &half, m: n, n: n, k: n, on: pool)
        blas.multiply(factor, transposed: true, half, into: &whole, m: n, n: n, k: n, on: pool)
        var scaled = whole.map(Double.init)
        for i in 0..<n { scaled[i * n + i] += 1 }
        guard let root = Self.cholesky(scaled, n) else { return .infinity }
        return (0..<n).reduce(0) { $0 + log2(root[$1 * n + $1]) }
    }

    /// The lower triangular matrix whose product with its transpose is a symmetric one; nil if that is not positive.
    private static func cholesky(_ matrix: [Double], _ n: Int) -> [Double]? {
        var l = Array(repeating: 0.0, count: n * n)
        let isPositive = l.withUnsafeMutableBufferPointer { l in
            for i in 0..<n {
                for j in 0...i {
                    // Several sums at once, which vectors hold.
                    var sums = SIMD8<Double>(), k = 0
                    while k + 8 <= j {
                        sums += SIMD8(l, at: i * n + k) * SIMD8(l, at: j * n + k)
                        k += 8
                    }
                    var sum = matrix[i * n + j] - sums.sum()
                    while k < j {
                        sum -= l[i * n + k] * l[j * n + k]
                        k += 1
                    }
                    if i == j {
                        guard sum > 0, sum.isFinite else { return false }
                        l[i * n + i] = sum.squareRoot()
                    } else {
                        l[i * n + j] = sum / l[j * n + j]
                    }
                }
            }
            return true
        }
        return isPositive ? l : nil
    }
}

extension SIMD8<Double> {
    fileprivate init(_ buffer: UnsafeMutableBufferPointer<Double>, at index: Int) {
        self = UnsafeRawPointer(buffer.baseAddress.unsafelyUnwrapped + index).loadUnaligned(as: Self.self)
    }
}
