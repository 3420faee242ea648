// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Kernels

/// One sequence's random queries, keys and values, and what attention gives in double precision.
struct Sequence {
    let heads: Int, kvHeads: Int, dimension: Int, tokens: Int
    var rows: [[Float]]

    init(heads: Int, kvHeads: Int, dimension: Int, tokens: Int, seed: UInt64, scale: Float = 1) {
        (self.heads, self.kvHeads, self.dimension, self.tokens) = (heads, kvHeads, dimension, tokens)
        var random = Random(seed)
        rows = (0..<tokens).map { _ in random.floats((heads + 2 * kvHeads) * dimension, -scale...scale) }
    }

    func expected(_ row: Int, window: Int? = nil) -> [Double] {
        let seen = (window.map { max(0, row + 1 - $0) } ?? 0)...row
        return (0..<heads).flatMap { head -> [Double] in
            let query = rows[row][head * dimension..<(head + 1) * dimension].map(Double.init)
            let key = (heads + head / (heads / kvHeads)) * dimension, value = key + kvHeads * dimension
            let scores = seen.map { t in
                (0..<dimension).reduce(0) { $0 + query[$1] * Double(rows[t][key + $1]) }
                    / Double(dimension).squareRoot()
            }
            let largest = scores.max() ?? 0, weights = scores.map { exp($0 - largest) }, sum = weights.reduce(0, +)
            return (0..<dimension).map { i in
                zip(seen, weights).reduce(0) { $0 + $1.1 * Double(rows[$1.0][value + i]) } / sum
            }
        }
    }
}

/// KV pages and the steps that fill and read them.
final class Cache {
    let layout: KVLayout
    let memory: ReservedMemory
    var table: [KVPage]

    init(_ s: Sequence, _ type: KVDataType) throws {
        layout = KVLayout(layers: 2, kvHeads: s.kvHeads, headDimension: s.dimension, dataType: type)
        let pages = (s.tokens + KVLayout.pageTokens - 1) / KVLayout.pageTokens
        memory = try ReservedMemory(count: layout.slabBytes(forPages: pages + 1).partialValue)
        // What a page holds beyond its tokens must not matter.
        memory.base.initializeMemory(as: UInt8.self, repeating: 0xff, count: memory.count)
        // Pages are not in order.
        table = (0..<pages).map { [layout, memory] in layout.place(ofPage: pages - $0, in: memory) }
    }

    /// Computes rows `range` as one chunk (without rotation) and returns their attention.
    func step(
        _ s: Sequence, _ range: Range<Int>, _ compute: Compute, layer: Int = 1, window: Int? = nil,
        sparse: SparseAttention? = nil
    ) throws -> [Float] {
        let input = Rows(range.count, s.rows[0].count, values: Array(s.rows[range].joined()))
        let output = Rows(range.count, s.heads * s.dimension)
        let half = s.dimension / 2
        let still = [Float](repeating: 1, count: half) + [Float](repeating: 0, count: half)
        let rotation = Array(repeatElement(still, count: range.count).joined())
        let slots = range.map { KVSlot(page: table[$0 / 64], slot: UInt32($0 % 64)) }
        compute.rotateAndStore(
            input.matrix, heads: s.heads, layer: layer, layout: layout, rotation: rotation, slots: slots)
        let plan = try AttentionPlan(
            layout: layout, heads: s.heads, maxRows: range.count, compute: compute, sparse: sparse,
            contextLength: s.tokens)
        table.withUnsafeBufferPointer { table in
            guard let pages = table.baseAddress else { return }
            plan.prepare([
                AttentionSpan(
                    pages: pages, row: 0, count: range.count, position: range.lowerBound, isSparse: sparse != nil)
            ])
            plan.run(layer: layer, window: window, queries: input.matrix, to: output.matrix)
        }
        #expect(output.isIntact)
        return output.values
    }
}

/// Expects the same bits of the `last` rows of a sequence, attending sparsely, from all instruction sets, all at once and one by one,
/// on any number of threads.
func expectSameEverywhere(_ s: Sequence, _ sparse: SparseAttention, last: Int) throws {
    let first = s.tokens - last
    func rows(_ set: InstructionSet, threads: Int, pieces: [Range<Int>]) throws -> [UInt32] {
        let cache = try Cache(s, .int8), compute = try compute(set, threads: threads)
        _ = try cache.step(s, 0..<first, compute)
        return try pieces.flatMap { try cache.step(s, $0, compute, sparse: sparse).bits }
    }
    let expected = try rows(.scalar, threads: 1, pieces: [first..<s.tokens])
    for set in InstructionSet.supported {
        #expect(try rows(set, threads: 3, pieces: [first..<s.tokens]) == expected)
        #expect(try rows(set, threads: 1, pieces: (first..<s.tokens).map { $0..<$0 + 1 }) == expected)
    }
}
