// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Foundation
import JobQueue

/// Keeps `deltakv.caches` in step with a cache directory. The files are the truth: whatever the database says, the first
/// ``sync()`` makes it agree with them.
///
/// One for each daemon; several may keep one directory's rows, since uses are added and chunks are noted by key.
public actor CacheCatalogue {
    /// Chunks noted at once.
    private static let batch = 1000

    private let store: CacheStore
    private let queue: JobQueue
    private let host: String
    private var reported = CacheStatistics()
    private var uses: [ChunkKey: CacheUse] = [:]
    /// What the database knows; nil before it was asked.
    private var known: Set<ChunkKey>?
    /// The sizes and times of chunks as they were noted.
    private var noted: [ChunkKey: CacheEntry] = [:]

    /// A catalogue of a store in a queue's database.
    public init(store: CacheStore, queue: JobQueue, host: String = ProcessInfo.processInfo.hostName) {
        self.store = store
        self.queue = queue
        self.host = host
    }

    /// Looks through the directory and writes down what is new, gone or used since the last time. One call at a time.
    ///
    /// - Throws: `CacheError`, `PostgresError`, `CancellationError`. The next call makes up for what was not written; where only the
    ///   database's answer was lost, uses are counted twice.
    public func sync() async throws {
        try store.scan()
        let statistics = store.statistics
        try await queue.noteCacheStore(
            store.id, host: host, directory: store.path, budget: store.settings.budget, freeBytes: store.freeBytes,
            activity: CacheActivity(statistics, since: reported))
        reported = statistics
        for (key, use) in store.takeUses() { uses[key, default: CacheUse()].add(use) }
        let entries = Dictionary(uniqueKeysWithValues: store.entries.map { ($0.key, $0) })
        try await forget(entries)
        try await note(entries)
    }

    private func forget(_ entries: [ChunkKey: CacheEntry]) async throws {
        let before: Set<ChunkKey>
        if let known {
            before = known
        } else {
            before = Set(try await queue.knownCaches(in: store.id).compactMap { ChunkKey($0) })
        }
        let gone = before.filter { entries[$0] == nil }
        for keys in Array(gone).slices(of: Self.batch) {
            try await queue.forgetCaches(keys.map(\.description), in: store.id)
        }
        known = before.subtracting(gone)
        for key in gone { noted[key] = nil }
        uses = uses.filter { entries[$0.key] != nil }
    }

    private func note(_ entries: [ChunkKey: CacheEntry]) async throws {
        let changed = entries.values.filter { noted[$0.key] != $0 || uses[$0.key] != nil }
        for batch in changed.slices(of: Self.batch) {
            let records = batch.map { CacheRecord($0, uses[$0.key] ?? CacheUse()) }
            try await queue.noteCaches(records, in: store.id)
            for entry in batch {
                uses[entry.key] = nil
                noted[entry.key] = entry
                known?.insert(entry.key)
            }
        }
    }
}

extension CacheActivity {
    fileprivate init(_ now: CacheStatistics, since before: CacheStatistics) {
        self.init()
        hits = now.hits - before.hits
        secondsSaved = now.secondsSaved - before.secondsSaved
        bytesRead = now.bytesRead - before.bytesRead
        written = now.written - before.written
        bytesWritten = now.bytesWritten - before.bytesWritten
        evicted = now.evicted - before.evicted
        expired = now.expired - before.expired
        orphaned = now.orphaned - before.orphaned
        damaged = now.damaged - before.damaged
        refused = now.refused - before.refused
        for (reason, count) in now.misses where count > before.misses[reason] ?? 0 {
            misses[reason.rawValue] = count - (before.misses[reason] ?? 0)
        }
    }
}

extension CacheRecord {
    fileprivate init(_ entry: CacheEntry, _ use: CacheUse) {
        self.init(
            key: "\(entry.key)", parent: "\(entry.parent)", fingerprint: "\(entry.fingerprint)", index: entry.index,
            tokens: entry.tokens, bytes: entry.bytes, prefillSeconds: entry.prefillSeconds,
            isEncrypted: entry.isEncrypted, created: entry.created, lastUsed: entry.lastUsed, hits: use.hits,
            secondsSaved: use.secondsSaved)
    }
}

extension Array {
    fileprivate func slices(of count: Int) -> [ArraySlice<Element>] {
        stride(from: 0, to: self.count, by: count).map { self[$0..<Swift.min($0 + count, self.count)] }
    }
}
