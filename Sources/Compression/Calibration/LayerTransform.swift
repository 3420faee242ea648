// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// A layer's transform for a covariance of residuals: whitening, then the covariance's eigenvectors, then division by the
/// step; and the prototypes in those coordinates.
struct LayerTransform {
    let parameters: LayerParameters
    /// From whitened coordinates, [columns][columns], by rows.
    let basis: [Double]
    /// The quantisation step in whitened coordinates.
    let stepSize: Double

    /// - Parameters:
    ///   - covariance: In the coordinates of `basis` (whitened ones where that is nil).
    ///   - centres: Prototypes in whitened coordinates.
    ///   - step: In units of the residuals' root mean square.
    init(
        whitening: Whitening, mean: [Double], deviation: [Double], covariance: Covariance, basis given: [Double]?,
        centres: [Float], step: Float, settings: CodecSettings, layer: Int, _ blas: OpenBLAS
    ) throws(CompressionError) {
        let n = covariance.columns, second = covariance.mean
        let variance = (0..<n).reduce(0) { $0 + second[$1 * n + $1] } / Double(n)
        guard variance > 0, variance.isFinite else {
            throw .degenerate(layer: layer, reason: "prediction leaves nothing, or something that is not finite")
        }
        let (_, vectors) = try Whitening.eigen(second, n, blas)
        // Greatest first.
        let rotation = (0..<n).flatMap { vectors[(n - 1 - $0) * n..<(n - $0) * n] }
        basis = given.map { Self.product(rotation, $0, n) } ?? rotation
        stepSize = Double(step) * variance.squareRoot()
        let fine = Double(DKV_FINE) / stepSize
        let forward = Self.product(basis, whitening.forward, n).map { $0 * fine }
        var inverse = Self.product(whitening.inverse, Self.transposed(basis, n), n)
        for i in 0..<n { for j in 0..<n { inverse[i * n + j] *= deviation[i] / fine } }
        let unit = fine / Double(DKV_UNIT)
        let count = centres.count / n
        var prototypes: [Int8] = []
        prototypes.reserveCapacity(centres.count)
        let rotated = Self.product(centres.map(Double.init), Self.transposed(basis, n), rows: count, n)
        for value in rotated { prototypes.append(Int8(max(-127, min(127, (value * unit).rounded())))) }
        parameters = LayerParameters(
            columns: n, mean: mean.map(Float.init), scale: deviation.map { Float(1 / $0) },
            forward: EightBitBlocks.encode(forward, columns: n), inverse: EightBitBlocks.encode(inverse, columns: n),
            prototypes: prototypes, rows: .plain(columns: n), references: .plain(columns: n))
    }

    /// `a · b` in fp64; `a` is [rows][n], `b` [n][n].
    static func product(_ a: [Double], _ b: [Double], rows: Int? = nil, _ n: Int) -> [Double] {
        var c = Array(repeating: 0.0, count: (rows ?? n) * n)
        c.withUnsafeMutableBufferPointer { c in
            b.withUnsafeBufferPointer { b in
                for i in 0..<(rows ?? n) {
                    for k in 0..<n {
                        let x = a[i * n + k]
                        for j in 0..<n { c[i * n + j] += x * b[k * n + j] }
                    }
                }
            }
        }
        return c
    }

    static func transposed(_ a: [Double], _ n: Int) -> [Double] {
        (0..<n * n).map { a[$0 % n * n + $0 / n] }
    }
}
