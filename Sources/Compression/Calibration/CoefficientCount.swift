// SPDX-License-Identifier: Apache-2.0
import Kernels

/// How many coefficients the rows of a layer get. Directions are in the order of what prototypes leave of them. What is left out comes
/// back as the mean, whatever prototypes and references would know, so that all of its energy is lost, and not just what they leave.
enum CoefficientCount {
    /// Directions that are kept or left out together.
    private static let group = 32
    /// Mean energy of a direction that is kept, in units of what rounding to whole steps adds.
    private static let leastEnergy = 2.0

    /// Coefficients that are kept in any case: texts of other kinds put energy where calibration saw little.
    private static func least(_ columns: Int) -> Int { max(group, columns / 4 / group * group) }

    /// - Parameters:
    ///   - whole: The second moment, in whitened coordinates, of what prediction from other layers leaves of rows.
    ///   - left: That of what the nearest prototypes leave of the same.
    ///   - step: The quantisation step in these coordinates.
    static func find(
        whole: Covariance, left: Covariance, step: Double, _ blas: OpenBLAS, on pool: ThreadPool
    ) throws(CompressionError) -> Int {
        let n = whole.columns, threshold = leastEnergy * step * step / 12
        // The least first.
        let directions = try Whitening.eigen(left.mean, n, blas).vectors.map(Float.init)
        var products = Array(repeating: Float(0), count: n * n)
        blas.multiply(directions, whole.mean.map(Float.init), into: &products, m: n, n: n, k: n, on: pool)
        let dropped = stride(from: 0, to: n - least(n), by: group).prefix { first in
            let energy = (first * n..<(first + group) * n).reduce(0) { $0 + Double(directions[$1] * products[$1]) }
            return energy < threshold * Double(group)
        }
        return n - dropped.count * group
    }
}
