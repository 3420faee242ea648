// SPDX-License-Identifier: Apache-2.0

/// What one process has done with a cache.
public struct CacheStatistics: Sendable, Equatable {
    /// Chunks loaded.
    public internal(set) var hits = 0
    /// Chains that ended before their last chunk, by the reason.
    public internal(set) var misses: [CacheMiss: Int] = [:]
    /// Seconds of prefill that loaded chunks had cost.
    public internal(set) var secondsSaved = 0.0
    /// Bytes of files read.
    public internal(set) var bytesRead = 0
    /// Chunks written, and bytes of their files.
    public internal(set) var written = 0, bytesWritten = 0
    /// Chunks removed to make room, because they were too old, followed a missing chunk, or were damaged.
    public internal(set) var evicted = 0, expired = 0, orphaned = 0, damaged = 0
    /// Chunks that found no room, or no place in the queue of ``CacheWriter``, and were not written.
    public internal(set) var refused = 0

    /// Nothing.
    public init() {}

    mutating func count(_ miss: CacheMiss) { misses[miss, default: 0] += 1 }
}

/// How much a chunk was used since this was last asked for.
public struct CacheUse: Sendable, Equatable {
    /// How often it was loaded.
    public internal(set) var hits = 0
    /// Seconds of prefill saved by that.
    public internal(set) var secondsSaved = 0.0

    /// No use.
    public init() {}

    /// Adds more of it.
    public mutating func add(_ other: CacheUse) {
        hits += other.hits
        secondsSaved += other.secondsSaved
    }
}
