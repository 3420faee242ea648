// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What a store knows of a chunk without reading its sections.
public struct CacheEntry: Sendable, Equatable {
    /// The chunk's name.
    public let key: ChunkKey
    /// The chunk before it, or the root of its chain.
    public let parent: ChunkKey
    /// What it depends on beside tokens.
    public let fingerprint: CacheFingerprint
    /// Its place in the chain, from 0.
    public let index: Int
    /// How many tokens it holds.
    public let tokens: Int
    /// The file's size, everything counted.
    public let bytes: Int
    /// What it cost to compute.
    public let prefillSeconds: Double
    /// When it was made.
    public let created: Date
    /// When it was last loaded, to the minute.
    public internal(set) var lastUsed: Date
    /// Whether its tokens and sections are encrypted.
    public let isEncrypted: Bool
    let lineage: Lineage

    init(_ header: ChunkHeader, lastUsed: Date) {
        key = header.key
        parent = header.parent
        fingerprint = header.fingerprint
        index = header.index
        tokens = header.tokenCount
        bytes = header.fileBytes
        prefillSeconds = header.prefillSeconds
        created = header.createdDate
        self.lastUsed = lastUsed
        isEncrypted = header.isEncrypted
        lineage = header.lineage
    }
}

/// The chunks in a directory, as last seen.
struct CacheCatalogue {
    private(set) var entries: [ChunkKey: CacheEntry] = [:]
    private(set) var bytes = 0

    mutating func insert(_ entry: CacheEntry) {
        remove(entry.key)
        entries[entry.key] = entry
        bytes += entry.bytes
    }

    mutating func remove(_ key: ChunkKey) {
        guard let old = entries.removeValue(forKey: key) else { return }
        bytes -= old.bytes
    }

    mutating func touch(_ key: ChunkKey, _ time: Date) {
        guard let known = entries[key]?.lastUsed, time > known else { return }
        entries[key]?.lastUsed = time
    }

    /// Whether another chunk holds the same tokens after the same tokens, for the same tenant.
    func isKnown(_ lineage: Lineage, apartFrom fingerprint: CacheFingerprint) -> Bool {
        entries.values.contains { $0.lineage == lineage && $0.fingerprint != fingerprint }
    }
}
