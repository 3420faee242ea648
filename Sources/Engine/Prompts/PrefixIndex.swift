// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Compression
import Inference

/// Prompt segments whose decoded rows are in the KV pages, by their keys, so that sequences that begin alike compute and hold
/// them once. A pure state machine: the engine counts pages.
///
/// A segment stays when its last user has left, until room is needed.
struct PrefixIndex {
    private struct Entry {
        let pages: [PageID]
        let segment: CompressedSegment
        /// What it cost to compute.
        let seconds: Double
        /// Segments before it.
        let depth: Int
        var users: Int
        /// When a user last left it; the same for all that were left together.
        var left: UInt64
    }

    private var entries: [ChunkKey: Entry] = [:]
    private var time: UInt64 = 0

    /// The coded rows of a segment.
    func segment(_ key: ChunkKey) -> CompressedSegment? { entries[key]?.segment }

    /// Adds a segment with its first user.
    mutating func insert(
        _ key: ChunkKey, pages: [PageID], segment: CompressedSegment, seconds: Double, depth: Int
    ) {
        precondition(entries[key] == nil, "a segment was computed twice at a time")
        entries[key] = Entry(pages: pages, segment: segment, seconds: seconds, depth: depth, users: 1, left: time)
    }

    /// Adds a user of a segment; nil if it is not there.
    mutating func use(_ key: ChunkKey) -> (pages: [PageID], seconds: Double)? {
        entries[key]?.users += 1
        return entries[key].map { ($0.pages, $0.seconds) }
    }

    /// Takes a user off each of some segments.
    mutating func leave(_ keys: some Sequence<ChunkKey>) {
        time += 1
        for key in keys {
            entries[key]?.users -= 1
            entries[key]?.left = time
        }
    }

    /// Gives up the segment that was left the longest ago, the last of its prompt first; nil if all have users.
    ///
    /// - Returns: Its pages.
    mutating func evict() -> [PageID]? {
        let idle = entries.lazy.filter { $0.value.users == 0 }
        let oldest = idle.min { ($0.value.left, $1.value.depth) < ($1.value.left, $0.value.depth) }
        guard let key = oldest?.key else { return nil }
        return entries.removeValue(forKey: key)?.pages
    }
}
