// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Kernels

/// One sequence's random queries, keys and values, and what attention gives in double precision.
private struct Sequence {
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
private final class Cache {
    let layout: KVLayout
    let memory: ReservedMemory
    var table: [UnsafeMutablePointer<CChar>?]

    init(_ s: Sequence, _ type: KVDataType) throws {
        layout = KVLayout(layers: 2, kvHeads: s.kvHeads, headDimension: s.dimension, dataType: type)
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
    func step(_ s: Sequence, _ range: Range<Int>, _ compute: Compute, layer: Int = 1, window: Int? = nil) throws
        -> [Float]
    {
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
            plan.run(layer: layer, window: window, queries: input.matrix, to: output.matrix)
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
        let full = try Cache(s, .float32).step(s, 0..<s.tokens, compute)
        let half = try Cache(s, .float16).step(s, 0..<s.tokens, compute)
        let int8 = try Cache(s, .int8).step(s, 0..<s.tokens, compute)
        let width = s.heads * s.dimension
        for row in Set([0, s.tokens / 2, s.tokens - 1]) {
            let expected = s.expected(row)
            #expect(largestError(Array(full[row * width..<(row + 1) * width]), expected) < 1e-5)
            #expect(largestError(Array(half[row * width..<(row + 1) * width]), expected) < 2e-3)
            #expect(largestError(Array(int8[row * width..<(row + 1) * width]), expected) < 2e-2)
        }
    }

    /// The same bits for any chunks of the prompt, any number of threads, and with the context split or not.
    @Test(arguments: InstructionSet.supported, KVDataType.allCases)
    func rowsAreIndependent(_ set: InstructionSet, _ type: KVDataType) throws {
        let s = Sequence(heads: 6, kvHeads: 2, dimension: 64, tokens: 1100, seed: 12, scale: 2)
        let whole = try Cache(s, type).step(s, 0..<s.tokens, compute(set, threads: 1))
        let width = s.heads * s.dimension
        for threads in [2, 5] {
            let chunked = try Cache(s, type)
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

    /// Over int8 pages all instruction sets give the same bits, with many rows and with few, whatever the shape.
    @Test(arguments: [
        (1, 1, 16, 70), (2, 1, 32, 200), (3, 1, 64, 1030), (5, 1, 48, 129), (8, 1, 80, 65), (9, 9, 16, 66),
        (9, 1, 128, 64),
        (12, 2, 64, 600), (16, 1, 96, 130), (48, 1, 256, 67),
    ])
    func int8IsTheSameEverywhere(_ shape: (Int, Int, Int, Int)) throws {
        let s = Sequence(heads: shape.0, kvHeads: shape.1, dimension: shape.2, tokens: shape.3, seed: 21, scale: 3)
        let expected = try Cache(s, .int8).step(s, 0..<s.tokens, compute(.scalar)).bits
        for set in InstructionSet.supported {
            #expect(try Cache(s, .int8).step(s, 0..<s.tokens, compute(set)).bits == expected)
            let cache = try Cache(s, .int8), compute = try compute(set)
            var pieces: [Float] = []
            for first in stride(from: 0, to: s.tokens - 40, by: 64) {
                pieces += try cache.step(s, first..<min(first + 64, s.tokens - 40), compute)
            }
            for row in s.tokens - 40..<s.tokens { pieces += try cache.step(s, row..<row + 1, compute) }
            #expect(pieces.bits == expected)
        }
    }

    /// A window shorter than, as long as and longer than pages and chunks, against double precision.
    @Test(arguments: InstructionSet.supported, [1, 7, 64, 65, 300, 512, 1024])
    func windowsMatchTheReference(_ set: InstructionSet, _ window: Int) throws {
        let s = Sequence(heads: 6, kvHeads: 2, dimension: 64, tokens: 1100, seed: 15)
        for (type, tolerance) in [(KVDataType.float32, 1e-5), (.float16, 2e-3), (.int8, 3e-2)] {
            let found = try Cache(s, type).step(s, 0..<s.tokens, compute(set), window: window)
            let width = s.heads * s.dimension
            for row in [0, 6, 63, 64, 65, 300, 511, 512, 700, 1099] {
                let expected = s.expected(row, window: window)
                #expect(largestError(Array(found[row * width..<(row + 1) * width]), expected) < tolerance)
            }
        }
    }

    /// With a window too: the same bits for any chunks and threads, and over int8 on all instruction sets.
    @Test(arguments: KVDataType.allCases, [5, 64, 200, 600])
    func windowedRowsAreIndependent(_ type: KVDataType, _ window: Int) throws {
        for (heads, kvHeads) in [(6, 2), (7, 1), (20, 1)] {
            let s = Sequence(heads: heads, kvHeads: kvHeads, dimension: 32, tokens: 700, seed: 16, scale: 2)
            let scalar =
                type == .int8 ? try Cache(s, type).step(s, 0..<s.tokens, compute(.scalar), window: window).bits : []
            for set in InstructionSet.supported {
                let whole = try Cache(s, type).step(s, 0..<s.tokens, compute(set, threads: 1), window: window).bits
                let cache = try Cache(s, type), several = try compute(set, threads: 3)
                var pieces: [Float] = []
                for range in [0..<7, 7..<500, 500..<513, 513..<697, 697..<698, 698..<700] {
                    pieces += try cache.step(s, range, several, window: window)
                }
                #expect(pieces.bits == whole)
                if type == .int8 { #expect(whole == scalar) }
            }
        }
    }

    /// A window that reaches back to the beginning changes no bit.
    @Test(arguments: InstructionSet.supported, KVDataType.allCases)
    func wideWindowsAreFullAttention(_ set: InstructionSet, _ type: KVDataType) throws {
        let s = Sequence(heads: 4, kvHeads: 2, dimension: 16, tokens: 600, seed: 17)
        let full = try Cache(s, type).step(s, 0..<s.tokens, compute(set))
        #expect(try Cache(s, type).step(s, 0..<s.tokens, compute(set), window: 600).bits == full.bits)
    }

    /// A value that is no number spoils its own sequence's rows from there on, and says so.
    @Test(arguments: InstructionSet.supported)
    func int8KeepsNaN(_ set: InstructionSet) throws {
        let s = Sequence(heads: 2, kvHeads: 1, dimension: 16, tokens: 130, seed: 22)
        for place in [3 * 16 - 1, 4 * 16 - 1] {  // a key, a value
            var rows = s
            rows.rows[70][place] = .nan
            let cache = try Cache(s, .int8)
            let before = try cache.step(rows, 0..<70, compute(set)),
                after = try cache.step(rows, 70..<130, compute(set))
            #expect(before.allSatisfy { $0.isFinite })
            #expect(after.allSatisfy { $0.isNaN })
        }
    }

    /// One long sequence among short ones is cut into pieces, and each keeps its bits.
    @Test(arguments: InstructionSet.supported, KVDataType.allCases)
    func unequalLengthsKeepTheirBits(_ set: InstructionSet, _ type: KVDataType) throws {
        let sequences = [5, 2100, 64, 700, 1].enumerated().map {
            Sequence(heads: 6, kvHeads: 2, dimension: 32, tokens: $1, seed: UInt64(41 + $0))
        }
        let caches = try sequences.map { try Cache($0, type) }
        let alone = try zip(sequences, caches).map { s, cache in
            _ = try cache.step(s, 0..<s.tokens, compute(set, threads: 1))
            return try cache.step(s, s.tokens - 1..<s.tokens, compute(set, threads: 1)).bits
        }
        let four = try compute(set, threads: 4), width = 6 * 32
        let input = Rows(
            sequences.count, sequences[0].rows[0].count, values: sequences.flatMap { $0.rows[$0.tokens - 1] })
        let output = Rows(sequences.count, width)
        let plan = try AttentionPlan(layout: caches[0].layout, heads: 6, maxRows: sequences.count, compute: four)
        let tables = caches.map { $0.table }
        let starts = tables.map { table in
            let copy = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: table.count)
            copy.initialize(from: table, count: table.count)
            return copy
        }
        defer { for start in starts { start.deallocate() } }
        plan.prepare(
            sequences.indices.map {
                AttentionSpan(pages: starts[$0], row: $0, count: 1, position: sequences[$0].tokens - 1)
            })
        plan.run(layer: 1, queries: input.matrix, to: output.matrix)
        let together = output.values
        for (index, bits) in alone.enumerated() {
            #expect(Array(together[index * width..<(index + 1) * width]).bits == bits)
        }
        withExtendedLifetime(caches) {}
    }

    @Test(arguments: InstructionSet.supported, KVDataType.allCases)
    func largeScoresStayFinite(_ set: InstructionSet, _ type: KVDataType) throws {
        let s = Sequence(heads: 2, kvHeads: 1, dimension: 16, tokens: 600, seed: 13, scale: 200)
        let result = try Cache(s, type).step(s, 0..<s.tokens, compute(set))
        #expect(result.allSatisfy { $0.isFinite })
        // The softmax picks single tokens here; bytes may pick another where two are close, so only floats are compared.
        guard type == .float32 else { return }
        #expect(largestError(Array(result.suffix(32)), s.expected(599)) < 1e-2)
    }

    @Test(arguments: InstructionSet.supported, KVDataType.allCases)
    func zerosAverageToZero(_ set: InstructionSet, _ type: KVDataType) throws {
        let s = Sequence(heads: 2, kvHeads: 1, dimension: 16, tokens: 66, seed: 14, scale: 0)
        let result = try Cache(s, type).step(s, 0..<66, compute(set))
        #expect(result.allSatisfy { $0 == 0 })
    }
}
