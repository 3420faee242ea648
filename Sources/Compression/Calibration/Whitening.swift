// SPDX-License-Identifier: Apache-2.0
import Kernels

/// A linear map that makes a metric the plain one: `|forward · x|²` is the metric of x, for rows divided by their deviations.
struct Whitening {
    /// [columns][columns] and its inverse.
    let forward, inverse: [Double]

    /// - Throws: ``CompressionError/degenerate(layer:reason:)`` where the metric is no positive matrix.
    init(
        metric: [Double], deviation: [Double], columns n: Int, layer: Int, _ blas: OpenBLAS
    ) throws(CompressionError) {
        let trace = (0..<n).reduce(0) { $0 + metric[$1 * n + $1] } / Double(n)
        guard trace > 0, trace.isFinite, metric.allSatisfy(\.isFinite) else {
            throw .degenerate(layer: layer, reason: "its attention has no weight or is not finite")
        }
        var scaled = metric
        for i in 0..<n {
            // A thousandth of the mean on the diagonal: no direction is free of charge.
            scaled[i * n + i] += 1e-3 * trace
        }
        for i in 0..<n { for j in 0..<n { scaled[i * n + j] *= deviation[i] * deviation[j] } }
        let (values, vectors) = try Self.eigen(scaled, n, blas)
        let floor = (values.last ?? 0) * 1e-9
        guard floor > 0 else { throw .degenerate(layer: layer, reason: "its rows do not vary") }
        var forward = vectors, inverse = vectors
        for i in 0..<n {
            let root = max(values[i], floor).squareRoot()
            for j in 0..<n {
                forward[i * n + j] = vectors[i * n + j] * root
                inverse[j * n + i] = vectors[i * n + j] / root
            }
        }
        self.forward = forward
        self.inverse = inverse
    }

    static func eigen(
        _ matrix: [Double], _ n: Int, _ blas: OpenBLAS
    ) throws(CompressionError) -> (values: [Double], vectors: [Double]) {
        do throws(KernelError) { return try blas.eigen(symmetric: matrix, n: n) } catch { throw .kernel(error) }
    }
}
