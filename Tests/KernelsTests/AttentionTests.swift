// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Kernels

/// One sequence's random queries, keys and values, and what attention gives in double precision.
private struct Sequence {
    let heads: Int, kvHeads: Int, dimension: Int, tokens: Int
    let rows: [[Float]]

    init(heads: Int, kvHeads: Int, dimension: Int, tokens: Int, seed: UInt64, scale: Float = 1) {
        (self.heads, self.kvHeads, self.dimension, self.tokens) = (heads, kvHeads, dimension, tokens)
        var random = Random(seed)
        rows = (0..<tokens).map { _ in random.floats((heads + 2 * kvHeads) * dimension, -scale...scale) }
    }

    func expected(_ row: Int) -> [Double] {
        (0..<heads).flatMap { head -> [Double] in
            let query = rows[row][head * dimension..<(head + 1) * dimension].map(Double.init)
            let key = (heads + head / (heads / kvHeads)) * dimension, value = key + kvHeads * dimension
            let scores = (0...row).map { t in
                (0..<dimension).reduce(0) { $0 + query[$1] * Double(rows[t][key + $1]) }
                    / Double(dimension).squareRoot()
            }
            let largest = scores.max() ?? 0, weights = scores.map { exp($0 - largest) }, sum = weights.reduce(0, +)
            return (0..<dimension).map { i in
                (0...row).reduce(0) { $0 + weights[$1] * Double(rows[$1][value + i]) } / sum
            }
        }
    }
}

/// KV pages and the steps that fill and read them.
private final class Cache {
    let layout: KVLayout
    let memory: ReservedMemory
    var table: [UnsafeMutablePointer<CChar>?]

    init(_ s: Sequence, half: Bool) throws {
        layout = KVLayout(layers: 2, kvHeads: s.kvHeads, headDimension: s.dimension, half: half)
        let pages = (s.tokens + KVLayout.pageTokens - 1) / KVLayout.pageTokens
        memory = try ReservedMemory(count: (pages + 1) * layout.pageBytes)
        // What a page holds beyond its tokens must not matter.
        memory.base.initializeMemory(as: UInt8.self, repeating: 0xff, count: memory.count)
        // Pages are not in order.
        table = (0..<pages).map { [layout, memory] in
            (memory.base + (pages - $0) * layout.pageBytes).assumingMemoryBound(to: CChar.self)
        }
    }

    /// Computes rows `range` as one chunk (without rotation) and returns their attention.
    func step(_ s: Sequence, _ range: Range<Int>, _ compute: Compute, layer: Int = 1) throws -> [Float] {
        let input = Rows(range.count, s.rows[0].count, values: Array(s.rows[range].joined()))
        let output = Rows(range.count, s.heads * s.dimension)
        let half = s.dimension / 2
        let still = [Float](repeating: 1, count: half) + [Float](repeating: 0, count: half)
        let rotation = Array(repeatElement(still, count: range.count).joined())
        let slots = range.map { KVSlot(page: table[$0 / 64], slot: UInt32($0 % 64)) }
        compute.rotateAndStore(
            input.matrix, heads: s.heads, layer: layer, layout: layout, rotation: rotation, slots: slots)
        let plan = try AttentionPlan(layout: layout, heads: s.heads, maxRows: range.count, compute: compute)
        table.withUnsafeBufferPointer { table in
            guard let pages = table.baseAddress else { return }
            plan.prepare([AttentionSpan(pages: pages, row: 0, count: range.count, position: range.lowerBound)])
            plan.run(layer: layer, queries: input.matrix, to: output.matrix)
        }
        #expect(output.isIntact)
        return output.values
    }
}

@Suite struct AttentionTests {
    static let shapes = [
        (1, 1, 16, 1), (3, 1, 64, 65), (4, 4, 80, 70), (6, 2, 128, 130), (9, 3, 64, 600), (16, 1, 48, 129),
    ]

    @Test(arguments: InstructionSet.supported, shapes)
    func matchesReference(_ set: InstructionSet, _ shape: (Int, Int, Int, Int)) throws {
        let s = Sequence(heads: shape.0, kvHeads: shape.1, dimension: shape.2, tokens: shape.3, seed: 11)
        let compute = try compute(set)
        let full = try Cache(s, half: false).step(s, 0..<s.tokens, compute)
        let half = try Cache(s, half: true).step(s, 0..<s.tokens, compute)
        let width = s.heads * s.dimension
        for row in Set([0, s.tokens / 2, s.tokens - 1]) {
            let expected = s.expected(row)
            #expect(largestError(Array(full[row * width..<(row + 1) * width]), expected) < 1e-5)
            #expect(largestError(Array(half[row * width..<(row + 1) * width]), expected) < 2e-3)
        }
    }

    /// The same bits for any chunks of the prompt, any number of threads, and with the context split or not.
    @Test(arguments: InstructionSet.supported, [false, true])
    func rowsAreIndependent(_ set: InstructionSet, _ half: Bool) throws {
        let s = Sequence(heads: 6, kvHeads: 2, dimension: 64, tokens: 1100, seed: 12, scale: 2)
        let whole = try Cache(s, half: half).step(s, 0..<s.tokens, compute(set, threads: 1))
        let width = s.heads * s.dimension
        for threads in [2, 5] {
            let chunked = try Cache(s, half: half)
            let compute = try compute(set, threads: threads)
            var pieces: [Float] = []
            // The last pieces are single rows over two chunks, which is where contexts are split across threads.
            for range in [0..<7, 7..<500, 500..<513, 513..<1097, 1097..<1098, 1098..<1100] {
                pieces += try chunked.step(s, range, compute)
            }
            #expect(pieces.count == s.tokens * width)
            #expect(pieces.bits == whole.bits)
        }
    }

    @Test(arguments: InstructionSet.supported)
    func largeScoresStayFinite(_ set: InstructionSet) throws {
        let s = Sequence(heads: 2, kvHeads: 1, dimension: 16, tokens: 600, seed: 13, scale: 200)
        let result = try Cache(s, half: false).step(s, 0..<s.tokens, compute(set))
        #expect(result.allSatisfy { $0.isFinite })
        #expect(largestError(Array(result.suffix(32)), s.expected(599)) < 1e-2)
    }

    @Test(arguments: InstructionSet.supported)
    func zerosAverageToZero(_ set: InstructionSet) throws {
        let s = Sequence(heads: 2, kvHeads: 1, dimension: 16, tokens: 66, seed: 14, scale: 0)
        let result = try Cache(s, half: true).step(s, 0..<66, compute(set))
        #expect(result.allSatisfy { $0 == 0 })
    }
}
