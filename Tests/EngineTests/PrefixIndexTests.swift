// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Compression
import Inference
import Testing

@testable import Engine

@Suite struct PrefixIndexTests {
    /// What was left longest ago goes first, the end of a prompt before its beginning: a beginning alone is of use, an end is not.
    @Test func endsOfPromptsGoBeforeTheirBeginnings() throws {
        let pool = try pool(pages: 8), chain = ChunkChain(fingerprint, salt: [], segment: 2, tokens: Array(0..<12))
        var index = PrefixIndex(), pages: [PageID] = []
        for (depth, key) in chain.keys.enumerated() {
            let page = try #require(pool.allocate(1))
            pages += page
            index.insert(key, pages: page, segment: try segment(), seconds: 1, depth: depth)
        }
        #expect(index.evict() == nil)
        // Another prompt has the first two segments in common, and is left later.
        for key in chain.keys.prefix(2) { #expect(index.use(key) != nil) }
        index.leave(chain.keys)
        #expect(index.evict() == [pages[5]])
        #expect(index.use(chain.keys[5]) == nil)
        index.leave(chain.keys.prefix(2))
        for place in [4, 3, 2, 1, 0] { #expect(index.evict() == [pages[place]]) }
        #expect(index.evict() == nil)
    }

    /// Coded rows stay where somebody waits for them, and go with the last that does.
    @Test func codedRowsStayForThoseThatWait() throws {
        let pool = try pool(pages: 8), chain = ChunkChain(fingerprint, salt: [], segment: 2, tokens: Array(0..<6))
        var index = PrefixIndex()
        let bytes = try segment().byteCount
        for (depth, key) in chain.keys.enumerated() {
            index.insert(key, pages: try #require(pool.allocate(1)), segment: try segment(), seconds: 2, depth: depth)
        }
        #expect(index.codedBytes == 3 * bytes)
        // One of two users waits: the pages are the other's.
        for key in chain.keys.prefix(1) { #expect(index.use(key) != nil) }
        index.suspend(chain.keys)
        #expect(index.evict() != nil && index.evict() != nil)
        #expect(index.evict() == nil)
        #expect(index.codedBytes == 3 * bytes && index.packedBytes == 2 * bytes)
        #expect(index.packed(chain.keys[0]) == nil && index.use(chain.keys[0]) != nil)
        #expect(index.packed(chain.keys[2])?.seconds == 2 && index.use(chain.keys[2]) == nil)
        // Decoded again, it is used like any other.
        let page = try #require(pool.allocate(1))
        index.unpack(chain.keys[1], pages: page)
        index.endWait(chain.keys[1...1])
        #expect(index.use(chain.keys[1])?.pages == page)
        // Nobody waits for the last any more.
        index.endWait(chain.keys[2...])
        #expect(index.segment(chain.keys[2]) == nil)
        #expect(index.codedBytes == 2 * bytes && index.packedBytes == 0)
    }

    private let fingerprint = CacheFingerprint(weights: "w", tokenizer: "t", compressor: "c", rope: "r", segment: 2)

    private func segment() throws -> CompressedSegment {
        // One layer, one token, no sinks, a row of three bytes.
        try #require(CompressedSegment(sections: [[1, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]]))
    }

    private func pool(pages: Int) throws -> KVPool {
        let test = try TestModel.shared.get()
        return try KVPool(configuration: test.model.configuration, dataType: .int8, pageCount: pages)
    }
}
