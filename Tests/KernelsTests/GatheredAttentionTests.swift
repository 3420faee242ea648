// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Kernels

@Suite struct GatheredAttentionTests {
    private func values(_ count: Int, _ seed: UInt32, size: Float = 1) -> [Float] {
        var x = seed
        return (0..<count).map { _ in
            x = x &* 1_664_525 &+ 1_013_904_223
            return (Float(x >> 8) / Float(1 << 24) - 0.5) * 2 * size
        }
    }

    /// Attention in double precision, and the sum of probabilities.
    private func reference(
        _ q: ArraySlice<Float>, _ rows: [[Float]], tokens: [Int32], keyColumn: Int, valueColumn: Int
    ) -> [Double] {
        let q = Array(q), d = q.count
        let scores = tokens.map { token in
            (0..<d).reduce(0.0) { $0 + Double(q[$1]) * Double(rows[Int(token)][keyColumn + $1]) }
                / Double(d).squareRoot()
        }
        let largest = scores.max() ?? 0, weights = scores.map { exp($0 - largest) }, sum = weights.reduce(0, +)
        return (0..<d).map { i in
            zip(tokens, weights).reduce(0.0) { $0 + $1.1 / sum * Double(rows[Int($1.0)][valueColumn + i]) }
        }
    }

    @Test(arguments: InstructionSet.supported, [(1, 16, Float(1)), (3, 64, 1), (2, 48, 30), (7, 128, 5)])
    func equalsTheReference(set: InstructionSet, shape: (group: Int, dimension: Int, size: Float)) {
        let (group, d, size) = shape, columns = 4 * d
        var flat = values(50 * columns, 7, size: size)
        let rows = (0..<50).map { Array(flat[$0 * columns..<($0 + 1) * columns]) }
        let queries = values(group * d, 3, size: size)
        let attention = GatheredAttention(group: group, headDimension: d, instructionSet: set)
        for tokens in [[4], [0, 49], Array(0..<50), [7, 7, 3]] as [[Int32]] {
            var probabilities = [Float](repeating: .nan, count: group * tokens.count)
            var output = [Float](repeating: .nan, count: group * d)
            flat.withUnsafeMutableBufferPointer { flat in
                tokens.withUnsafeBufferPointer { tokens in
                    attention.attend(
                        queries: queries, rows: Matrix(flat.baseAddress!, rows: 50, columns: columns), keyColumn: d,
                        valueColumn: 3 * d, tokens: tokens, probabilities: &probabilities, output: &output)
                }
            }
            for head in 0..<group {
                let wanted = reference(
                    queries[head * d..<(head + 1) * d], rows, tokens: tokens, keyColumn: d, valueColumn: 3 * d)
                let worst = zip(output[head * d..<(head + 1) * d], wanted).map { abs(Double($0) - $1) }.max() ?? .nan
                #expect(worst < 2e-4 * Double(size * size), "\(tokens.count) tokens")
                let sum = probabilities[head * tokens.count..<(head + 1) * tokens.count].reduce(0, +)
                #expect(abs(sum - 1) < 1e-5)
            }
        }
    }

    @Test(arguments: InstructionSet.supported)
    func pageBoundsAreBoundsAndEqualTheReference(set: InstructionSet) {
        let d = 64, group = 3, pages = 5
        let keys = values(pages * 16 * d, 5), queries = values(group * d, 9)
        let bounds = (0..<pages).flatMap { page in
            let rows = (0..<16).map { Array(keys[(page * 16 + $0) * d..<(page * 16 + $0 + 1) * d]) }
            return (0..<d).map { i in rows.map { $0[i] }.min() ?? 0 }
                + (0..<d).map { i in rows.map { $0[i] }.max() ?? 0 }
        }
        var scores = [Float](repeating: .nan, count: pages)
        let attention = GatheredAttention(group: group, headDimension: d, instructionSet: set)
        bounds.withUnsafeBufferPointer { bounds in
            scores.withUnsafeMutableBufferPointer { attention.pageBounds(queries: queries, bounds: bounds, scores: $0) }
        }
        for page in 0..<pages {
            var wanted = -Double.infinity, best = -Float.infinity
            for head in 0..<group {
                let q = queries[head * d..<(head + 1) * d].map { $0 }
                var sum = 0.0
                for i in 0..<d {
                    let low = Double(q[i]) * Double(bounds[2 * d * page + i])
                    let high = Double(q[i]) * Double(bounds[2 * d * page + d + i])
                    sum += max(low, high)
                }
                wanted = max(wanted, sum)
                for row in 0..<16 {
                    var score: Float = 0
                    for i in 0..<d { score += q[i] * keys[(page * 16 + row) * d + i] }
                    best = max(best, score)
                }
            }
            #expect(abs(Double(scores[page]) - wanted) < 1e-4)
            #expect(best <= scores[page] + 1e-4)
        }
    }
}
