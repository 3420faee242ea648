// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Kernels

@Suite struct LocalHeadTests {
    /// Two layers of which the second is looked at: its even KV heads are local.
    private func evenHeads(_ kvHeads: Int) -> [[Bool]] {
        [Array(repeating: false, count: kvHeads), (0..<kvHeads).map { $0 % 2 == 0 }]
    }

    /// All instruction sets give the same bits, for any number of rows at once and of threads, beside heads that pick tokens.
    @Test(arguments: [
        (1, 1, 16, 640), (9, 3, 64, 700), (10, 2, 48, 583), (8, 1, 80, 604), (16, 1, 128, 590), (4, 2, 32, 240),
    ])
    func isTheSameEverywhere(_ shape: (Int, Int, Int, Int)) throws {
        let s = Sequence(heads: shape.0, kvHeads: shape.1, dimension: shape.2, tokens: shape.3, seed: 41, scale: 3)
        try expectSameEverywhere(
            s, SparseAttention(share: 0.3, least: 90, local: evenHeads(s.kvHeads)), last: 70)
    }

    /// A local head gets what attention to the first eight tokens and to the pages with the last ones gives; its neighbour, which
    /// may pick any, gets something else.
    @Test(arguments: InstructionSet.supported)
    func seesTheEndsOnly(_ set: InstructionSet) throws {
        let s = Sequence(heads: 4, kvHeads: 2, dimension: 32, tokens: 700, seed: 42)
        let sparse = SparseAttention(share: 0.1, least: 200, local: evenHeads(2))
        let cache = try Cache(s, .int8), compute = try compute(set)
        _ = try cache.step(s, 0..<699, compute)
        let found = try cache.step(s, 699..<700, compute, sparse: sparse)
        // 700 - 256 lies in the page that begins at 384.
        var ends = Sequence(heads: 4, kvHeads: 2, dimension: 32, tokens: 324, seed: 42)
        ends.rows = Array(s.rows[..<8] + s.rows[384...])
        let expected = ends.expected(323)
        #expect(largestError(Array(found.prefix(64)), Array(expected.prefix(64))) < 0.005)
        #expect(largestError(Array(found.suffix(64)), Array(expected.suffix(64))) > 0.01)
    }

    /// What lies between the ends is not read: not even what is no number.
    @Test(arguments: InstructionSet.supported)
    func doesNotReadTheMiddle(_ set: InstructionSet) throws {
        let s = Sequence(heads: 2, kvHeads: 1, dimension: 16, tokens: 640, seed: 43)
        let sparse = SparseAttention(share: 0.1, least: 128, local: evenHeads(1))
        func last(_ change: (inout Sequence) -> Void) throws -> [UInt32] {
            var rows = s
            change(&rows)
            let cache = try Cache(rows, .int8), compute = try compute(set)
            _ = try cache.step(rows, 0..<639, compute)
            return try cache.step(rows, 639..<640, compute, sparse: sparse).bits
        }
        let plain = try last { _ in }
        for token in [8, 64, 383] { #expect(try last { $0.rows[token][3 * 16 - 1] = .nan } == plain) }
        for token in [7, 384, 639] { #expect(try last { $0.rows[token][3 * 16 - 1] = 3 } != plain) }
    }

    /// Where all tokens are seen anyway nothing is local.
    @Test(arguments: InstructionSet.supported)
    func shortContextsAndWindowsAreSeenInFull(_ set: InstructionSet) throws {
        let s = Sequence(heads: 4, kvHeads: 2, dimension: 32, tokens: 500, seed: 44)
        let short = SparseAttention(share: 0.1, least: 250, local: evenHeads(2))
        let full = try Cache(s, .int8).step(s, 0..<500, compute(set)).bits
        #expect(try Cache(s, .int8).step(s, 0..<500, compute(set), sparse: short).bits == full)
        let sparse = SparseAttention(share: 0.1, least: 100, local: evenHeads(2))
        let windowed = try Cache(s, .int8).step(s, 0..<500, compute(set), window: 300).bits
        #expect(try Cache(s, .int8).step(s, 0..<500, compute(set), window: 300, sparse: sparse).bits == windowed)
    }
}
