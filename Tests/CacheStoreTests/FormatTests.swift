// SPDX-License-Identifier: Apache-2.0
import Crypto
import Foundation
import Testing

@testable import CacheStore

/// Files that `Golden/make_chunk.py` wrote from `ops/cache-format.md`.
@Suite struct FormatTests {
    private static let fingerprint = CacheFingerprint(
        weights: "w", tokenizer: "t", compressor: "c", rope: "r", segment: 4, more: ["extra": "e"])
    private static let tokens: [Int32] = [1, 2, 3, 70000, 4, 5, 6, 7]
    private static let first = [
        CacheSection(id: 7, bytes: Array("some bytes".utf8)),
        CacheSection(id: 3, bytes: Array(repeating: 65, count: 1000)), CacheSection(id: 9, bytes: []),
    ]
    private static let second = [CacheSection(id: 7, bytes: Array(0...255))]

    private static func golden(_ name: String) throws -> [UInt8] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")
        return try contents(folder.appendingPathComponent(name + ".chunk").path)
    }

    private static func chain(_ store: CacheStore) -> ChunkChain {
        store.chain(fingerprint, salt: Array("tenant".utf8), segment: 4, tokens: tokens)
    }

    @Test func filesOfAnotherProgramAreRead() throws {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: .roomy),
            chain = Self.chain(store)
        try put(Self.golden("plain"), store.directory.chunk(chain.keys[0]))
        try put(Self.golden("child"), store.directory.chunk(chain.keys[1]))
        let loaded = store.load(chain)
        #expect(loaded.miss == nil && loaded.secondsSaved == 1.75)
        #expect(loaded.chunks.map(\.sections) == [Self.first, Self.second])
        #expect(chain.keys.allSatisfy { store.verify($0) == .sound })
        try store.scan()
        let entry = try #require(store.entries.first { $0.index == 0 })
        #expect(entry.created == Date(timeIntervalSince1970: 1_790_000_000.000001) && entry.tokens == 4)
    }

    @Test func encryptedFilesOfAnotherProgramAreRead() throws {
        let folder = Folder()
        var settings = CacheSettings.roomy
        settings.secret = SymmetricKey(data: Array(0..<32) as [UInt8])
        let store = try CacheStore(directory: folder.path, settings: settings), chain = Self.chain(store)
        try put(Self.golden("encrypted"), store.directory.chunk(chain.keys[0]))
        #expect(store.load(chain).chunks.map(\.sections) == [Self.first])
    }

    /// Byte for byte, where no choice is left to a packer.
    @Test func filesAreWrittenAsDescribed() throws {
        let folder = Folder(), created = Date(timeIntervalSince1970: 1_790_000_000.000002)
        let store = try CacheStore(directory: folder.path, settings: .roomy, now: { created })
        let chain = Self.chain(store)
        try put(Self.golden("plain"), store.directory.chunk(chain.keys[0]))
        _ = try store.publish(Self.second, at: 1, of: chain, prefillSeconds: 0.5)
        #expect(try contents(store.directory.chunk(chain.keys[1])) == Self.golden("child"))
    }
}
