// SPDX-License-Identifier: Apache-2.0
import Kernels

/// Typical rows by k-means (Lloyd's iteration from evenly spaced rows, a fixed number of rounds: the same every time).
enum Prototypes {
    private static let rounds = 6

    /// Centres, [count][columns], of rows [rows][columns].
    static func find(
        _ rows: UnsafePointer<Float>, rows n: Int, columns: Int, count: Int, _ blas: OpenBLAS, on pool: ThreadPool
    ) -> [Float] {
        var centres = (0..<count).flatMap { i in
            UnsafeBufferPointer(start: rows + i * n / count * columns, count: columns)
        }
        var dots = Array(repeating: Float(0), count: n * count)
        for _ in 0..<rounds {
            let nearest = assign(rows, n, columns, centres, count, &dots, blas, on: pool)
            var sums = Array(repeating: Float(0), count: count * columns), members = Array(repeating: 0, count: count)
            sums.withUnsafeMutableBufferPointer { sums in
                for row in 0..<n {
                    let to = nearest[row] * columns
                    for i in 0..<columns { sums[to + i] += rows[row * columns + i] }
                    members[nearest[row]] += 1
                }
            }
            for index in 0..<count where members[index] > 0 {
                for i in 0..<columns {
                    centres[index * columns + i] = sums[index * columns + i] / Float(members[index])
                }
            }
        }
        return centres
    }

    /// The nearest centre of each row.
    static func assign(
        _ rows: UnsafePointer<Float>, _ n: Int, _ columns: Int, _ centres: [Float], _ count: Int, _ dots: inout [Float],
        _ blas: OpenBLAS, on pool: ThreadPool
    ) -> [Int] {
        blas.multiplyTransposed(rows, centres, into: &dots, m: n, n: count, k: columns, on: pool)
        let norms = (0..<count).map { c in
            (0..<columns).reduce(Float(0)) { $0 + centres[c * columns + $1] * centres[c * columns + $1] }
        }
        return dots.withUnsafeBufferPointer { dots in
            (0..<n).map { row in
                var best = 0, score = Float.infinity
                for c in 0..<count {
                    let distance = norms[c] - 2 * dots[row * count + c]
                    if distance < score { (best, score) = (c, distance) }
                }
                return best
            }
        }
    }
}
