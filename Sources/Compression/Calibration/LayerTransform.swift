// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// A layer's transform for a covariance of residuals: whitening, then the covariance's first eigenvectors, then division by
/// the step; and the prototypes in those coordinates.
struct LayerTransform {
    let parameters: LayerParameters
    /// From whitened coordinates, [coefficients][columns], by rows.
    let basis: [Double]

    /// - Parameters:
    ///   - deviation: Of what the prediction from other layers leaves.
    ///   - covariance: In the coordinates of `basis` (whitened ones where that is nil).
    ///   - centres: Prototypes in whitened coordinates.
    ///   - step: The quantisation step in whitened coordinates.
    init(
        whitening: Whitening, prediction: LayerPrediction, deviation: [Double], covariance: Covariance,
        basis given: [Double]?, coefficients: Int, centres: [Float], step: Double, layer: Int, _ blas: OpenBLAS,
        on pool: ThreadPool
    ) throws(CompressionError) {
        let n = deviation.count, m = covariance.columns, second = covariance.mean
        let variance = (0..<m).reduce(0) { $0 + second[$1 * m + $1] } / Double(m)
        guard variance > 0, variance.isFinite else {
            throw .degenerate(layer: layer, reason: "prediction leaves nothing, or something that is not finite")
        }
        let (_, vectors) = try Whitening.eigen(second, m, blas)
        // Greatest first.
        let rotation = (0..<coefficients).flatMap { vectors[(m - 1 - $0) * m..<(m - $0) * m] }
        basis = given.map { Self.product(rotation, $0, m, n, on: pool) } ?? rotation
        let fine = Double(DKV_FINE) / step
        let forward = Self.product(basis, whitening.forward, n, n, on: pool).map { $0 * fine }
        let back = Self.transposed(basis, n)
        var inverse = Self.product(whitening.inverse, back, n, coefficients, on: pool)
        for i in 0..<n { for j in 0..<coefficients { inverse[i * coefficients + j] *= deviation[i] / fine } }
        let unit = fine / Double(DKV_UNIT)
        let prototypes = Self.product(centres.map(Double.init), back, n, coefficients, on: pool).map {
            Int8(max(-127, min(127, ($0 * unit).rounded())))
        }
        parameters = LayerParameters(
            columns: n, coefficients: coefficients, mean: prediction.mean.map(Float.init),
            scale: deviation.map { Float(1 / $0) }, sourceMean: prediction.sourceMean.map(Float.init),
            sourceScale: prediction.sourceScale.map(Float.init), inputs: prediction.inputs,
            prediction: prediction.matrix,
            forward: EightBitMatrix(forward, columns: n), inverse: EightBitMatrix(inverse, columns: coefficients),
            prototypes: prototypes,
            rows: .plain(coefficients: coefficients), references: .plain(coefficients: coefficients))
    }

    /// `a · b` in fp64; `a` is [rows][inner], `b` [inner][columns].
    private static func product(
        _ a: [Double], _ b: [Double], _ inner: Int, _ columns: Int, on pool: ThreadPool
    ) -> [Double] {
        let rows = a.count / inner
        var c = Array(repeating: 0.0, count: rows * columns)
        c.withUnsafeMutableBufferPointer { c in
            b.withUnsafeBufferPointer { b in
                // Each task writes a row of its own.
                nonisolated(unsafe) let (b, c) = (b, c)
                pool.run(count: rows) { i in
                    for k in 0..<inner {
                        let x = a[i * inner + k]
                        for j in 0..<columns { c[i * columns + j] += x * b[k * columns + j] }
                    }
                }
            }
        }
        return c
    }

    /// [rows][columns] as [columns][rows].
    private static func transposed(_ a: [Double], _ columns: Int) -> [Double] {
        let rows = a.count / columns
        return (0..<a.count).map { a[$0 % rows * columns + $0 / rows] }
    }
}
