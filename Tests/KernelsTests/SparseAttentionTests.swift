// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Kernels

@Suite struct SparseAttentionTests {
    /// All instruction sets pick the same tokens and give the same bits, for any number of rows at once and of threads: where a few
    /// tokens have the weight and count by their whole keys, and where none has much.
    @Test(
        arguments: [
            (1, 1, 16, 400), (2, 1, 32, 333), (9, 3, 64, 700), (5, 1, 48, 513), (8, 1, 80, 300), (9, 1, 128, 384),
            (16, 1, 96, 321), (48, 1, 256, 310),
        ], [3, 0.1] as [Float])
    func isTheSameEverywhere(_ shape: (Int, Int, Int, Int), _ scale: Float) throws {
        let s = Sequence(heads: shape.0, kvHeads: shape.1, dimension: shape.2, tokens: shape.3, seed: 31, scale: scale)
        try expectSameEverywhere(s, SparseAttention(share: 0.4, least: 140), last: 20)
    }

    /// Tokens that have little weight each count by the upper halves of their keys alone: that is seen, and hardly matters.
    @Test(arguments: InstructionSet.supported)
    func littleWeightTakesHalfOfTheKey(_ set: InstructionSet) throws {
        let s = Sequence(heads: 2, kvHeads: 1, dimension: 64, tokens: 1500, seed: 36)
        let cache = try Cache(s, .int8), compute = try compute(set), expected = s.expected(1499)
        _ = try cache.step(s, 0..<1499, compute)
        let full = try cache.step(s, 1499..<1500, compute)
        // All are picked: a share that is not quite all.
        let sparse = SparseAttention(share: 0.9999, least: 700)
        let found = try cache.step(s, 1499..<1500, compute, sparse: sparse)
        // Another order of sums alone would not double it.
        #expect(largestError(found, expected) > 2 * largestError(full, expected))
        #expect(largestError(found, expected) < 0.005)
    }

    /// Where few tokens have nearly all the weight, attention to a tenth of them is close to attention to all; to random ones it
    /// would not be.
    @Test(arguments: InstructionSet.supported)
    func findsWhatMatters(_ set: InstructionSet) throws {
        var s = Sequence(heads: 3, kvHeads: 1, dimension: 64, tokens: 3000, seed: 32)
        // Twenty keys that point where the last query of each head does.
        for head in 0..<3 {
            for i in 0..<20 {
                let token = 400 + 97 * i + head
                for j in 0..<64 { s.rows[token][3 * 64 + j] += 4 * s.rows[2999][head * 64 + j] }
            }
        }
        let cache = try Cache(s, .int8), compute = try compute(set)
        _ = try cache.step(s, 0..<2999, compute)
        let full = s.expected(2999)
        let sparse = try cache.step(s, 2999..<3000, compute, sparse: SparseAttention(share: 0.1, least: 300))
        #expect(largestError(sparse, full) < 0.03)
        // The same without the keys that were made to matter.
        for i in 0..<20 { for head in 0..<3 { s.rows[400 + 97 * i + head] = s.rows[1] } }
        #expect(largestError(sparse, s.expected(2999)) > 0.1)
    }

    /// Rows that see few tokens, or may attend to all, are those of full attention.
    @Test(arguments: InstructionSet.supported)
    func shortContextsAreFullAttention(_ set: InstructionSet) throws {
        let s = Sequence(heads: 4, kvHeads: 2, dimension: 32, tokens: 600, seed: 33)
        let full = try Cache(s, .int8).step(s, 0..<600, compute(set)).bits
        for sparse in [SparseAttention(share: 0.1, least: 300), SparseAttention(share: 1, least: 1)] {
            #expect(try Cache(s, .int8).step(s, 0..<600, compute(set), sparse: sparse).bits == full)
        }
    }

    /// Windows are seen in full, and other types of keys and values know no part.
    @Test(arguments: InstructionSet.supported)
    func windowsAndFloatsAreFullAttention(_ set: InstructionSet) throws {
        let s = Sequence(heads: 4, kvHeads: 2, dimension: 32, tokens: 500, seed: 34)
        let sparse = SparseAttention(share: 0.3, least: 140)
        let windowed = try Cache(s, .int8).step(s, 0..<500, compute(set), window: 100).bits
        #expect(try Cache(s, .int8).step(s, 0..<500, compute(set), window: 100, sparse: sparse).bits == windowed)
        for type in [KVDataType.float16, .float32] {
            let full = try Cache(s, type).step(s, 0..<500, compute(set)).bits
            #expect(try Cache(s, type).step(s, 0..<500, compute(set), sparse: sparse).bits == full)
        }
    }

    /// A key, a value or a query that is no number is told, wherever it is and however little it would weigh.
    @Test(arguments: InstructionSet.supported)
    func keepsNaN(_ set: InstructionSet) throws {
        let s = Sequence(heads: 2, kvHeads: 1, dimension: 16, tokens: 400, seed: 35)
        let sparse = SparseAttention(share: 0.4, least: 140)
        for (token, place) in [(200, 3 * 16 - 1), (200, 4 * 16 - 1), (399, 0)] {
            var rows = s
            rows.rows[token][place] = .nan
            let cache = try Cache(rows, .int8)
            _ = try cache.step(rows, 0..<399, compute(set))
            let found = try cache.step(rows, 399..<400, compute(set), sparse: sparse)
            // A query is one head's alone.
            #expect(found.prefix(16).allSatisfy { $0.isNaN })
            #expect(found.suffix(16).allSatisfy { $0.isNaN } == (token == 200))
        }
    }

    @Test func sharesAreOfTheTokensSeen() {
        let sparse = SparseAttention(share: 0.125, least: 512)
        #expect(sparse.kept(of: 1024) == nil)
        #expect(sparse.kept(of: 1025) == 512)
        #expect(sparse.kept(of: 8000) == 1000)
        #expect(sparse.kept(of: 8001) == 1001)
        #expect(SparseAttention(share: 1).kept(of: 100_000) == nil)
    }
}
