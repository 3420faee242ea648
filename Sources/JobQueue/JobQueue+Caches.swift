// SPDX-License-Identifier: Apache-2.0
import Foundation
import PostgreSQL

/// What a daemon has done with a cache directory since it last said so.
public struct CacheActivity: Sendable, Equatable {
    /// Chunks loaded, and the seconds of prefill that this saved.
    public var hits = 0, secondsSaved = 0.0
    /// Bytes read, chunks written and their bytes.
    public var bytesRead = 0, written = 0, bytesWritten = 0
    /// Chunks that went, by the reason, and those that were never written.
    public var evicted = 0, expired = 0, orphaned = 0, damaged = 0, refused = 0
    /// Prompts that were not there to their end, by the reason.
    public var misses: [String: Int] = [:]

    /// Nothing.
    public init() {}
}

/// A chunk in a cache directory, as the database knows it.
public struct CacheRecord: Sendable, Equatable {
    /// Of the chunk, the one before it, and what they depend on: 64 hexadecimal digits each.
    public let key: String, parent: String, fingerprint: String
    /// Its place in its chain.
    public let index: Int
    /// Its tokens.
    public let tokens: Int
    /// The size of its file.
    public let bytes: Int
    /// What it cost to compute.
    public let prefillSeconds: Double
    /// Whether its file is encrypted.
    public let isEncrypted: Bool
    /// When it was made and last used.
    public let created: Date, lastUsed: Date
    /// Uses since it was last noted, and what they saved.
    public var hits: Int, secondsSaved: Double

    /// A record.
    public init(
        key: String, parent: String, fingerprint: String, index: Int, tokens: Int, bytes: Int, prefillSeconds: Double,
        isEncrypted: Bool, created: Date, lastUsed: Date, hits: Int = 0, secondsSaved: Double = 0
    ) {
        self.key = key
        self.parent = parent
        self.fingerprint = fingerprint
        self.index = index
        self.tokens = tokens
        self.bytes = bytes
        self.prefillSeconds = prefillSeconds
        self.isEncrypted = isEncrypted
        self.created = created
        self.lastUsed = lastUsed
        self.hits = hits
        self.secondsSaved = secondsSaved
    }
}

extension JobQueue {
    /// Adds what was done with a cache directory, and notes how it stands. Comes before ``noteCaches(_:in:)``.
    public func noteCacheStore(
        _ id: UUID, host: String, directory: String, budget: Int, freeBytes: Int?, activity: CacheActivity
    ) async throws {
        let a = activity, misses = a.misses.sorted { $0.key < $1.key }
        // It adds, so it is not sent again by itself when a connection breaks.
        try await client.query(
            """
            SELECT deltakv.sync_cache_store(
                $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
            """,
            [
                id, host, directory, budget, freeBytes, a.hits, a.secondsSaved, a.bytesRead, a.written, a.bytesWritten,
                a.evicted, a.expired, a.orphaned, a.damaged, a.refused, misses.map(\.key), misses.map(\.value),
            ])
    }

    /// Notes chunks of a cache directory and adds their uses.
    public func noteCaches(_ records: [CacheRecord], in id: UUID) async throws {
        if records.isEmpty { return }
        try await client.query(
            "SELECT deltakv.sync_caches($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            [
                id, records.map(\.key), records.map(\.parent), records.map(\.fingerprint), records.map(\.index),
                records.map(\.tokens), records.map(\.bytes), records.map(\.prefillSeconds), records.map(\.isEncrypted),
                records.map(\.created.timeIntervalSince1970), records.map(\.lastUsed.timeIntervalSince1970),
                records.map(\.hits), records.map(\.secondsSaved),
            ])
    }

    /// The keys of the chunks that the database knows of a cache directory.
    public func knownCaches(in id: UUID) async throws -> Set<String> {
        Set(try await client.idempotentQuery("SELECT deltakv.known_caches($1)", [id]).map { try $0.get(0) })
    }

    /// Forgets chunks that are not on the disk any more.
    public func forgetCaches(_ keys: [String], in id: UUID) async throws {
        if keys.isEmpty { return }
        try await client.idempotentQuery("SELECT deltakv.forget_caches($1, $2)", [id, keys])
    }
}
