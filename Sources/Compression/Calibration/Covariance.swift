// SPDX-License-Identifier: Apache-2.0
import Kernels

/// A second moment of rows, summed in fp64.
struct Covariance {
    let columns: Int
    private(set) var count = 0
    private(set) var sums: [Double]

    init(columns: Int) {
        self.columns = columns
        sums = Array(repeating: 0, count: columns * columns)
    }

    /// Rows whose products are summed in fp32, before fp64 takes them.
    private static let block = 512

    /// Adds rows, [count][columns]: products of some rows in fp32, their sum in fp64.
    mutating func add(_ rows: UnsafePointer<Float>, count added: Int, _ blas: OpenBLAS, on pool: ThreadPool) {
        var product = Array(repeating: Float(0), count: columns * columns)
        for first in stride(from: 0, to: added, by: Self.block) {
            let piece = rows + first * columns
            blas.multiply(
                piece, transposed: true, piece, into: &product, m: columns, n: columns,
                k: min(Self.block, added - first),
                on: pool)
            for i in 0..<sums.count { sums[i] += Double(product[i]) }
        }
        count += added
    }

    /// The mean over rows.
    var mean: [Double] { sums.map { $0 / Double(max(1, count)) } }
}
