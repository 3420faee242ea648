// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Compression
import Inference

/// Prompt segments whose decoded rows are in the KV pages, by their keys, so that sequences that begin alike compute and hold
/// them once. A pure state machine: the engine counts pages.
///
/// A segment stays when its last user has left, until room is needed; its coded rows stay as long as a sequence that is to go on
/// with it waits for its turn.
struct PrefixIndex {
    private struct Entry {
        /// Nil where only the coded rows are kept.
        var pages: [PageID]?
        let segment: CompressedSegment
        /// What it cost to compute.
        let seconds: Double
        /// Segments before it.
        let depth: Int
        var users: Int
        /// Sequences that will use it when their turn comes.
        var waiting = 0
        /// When a user last left it; the same for all that were left together.
        var left: UInt64
    }

    private var entries: [ChunkKey: Entry] = [:]
    private var time: UInt64 = 0
    /// Bytes of the coded rows of all segments.
    private(set) var codedBytes = 0
    /// Of these, of segments whose decoded rows are not in the pages.
    private(set) var packedBytes = 0

    /// The coded rows of a segment.
    func segment(_ key: ChunkKey) -> CompressedSegment? { entries[key]?.segment }

    /// The coded rows of a segment whose decoded ones are not in the pages, and what it had cost; nil if it is not there.
    func packed(_ key: ChunkKey) -> (segment: CompressedSegment, seconds: Double)? {
        entries[key].flatMap { $0.pages == nil ? ($0.segment, $0.seconds) : nil }
    }

    /// Adds a segment with its first user.
    mutating func insert(
        _ key: ChunkKey, pages: [PageID], segment: CompressedSegment, seconds: Double, depth: Int
    ) {
        precondition(entries[key] == nil, "a segment was computed twice at a time")
        entries[key] = Entry(pages: pages, segment: segment, seconds: seconds, depth: depth, users: 1, left: time)
        codedBytes += segment.byteCount
    }

    /// Adds a user of a segment; nil if its decoded rows are not there.
    mutating func use(_ key: ChunkKey) -> (pages: [PageID], seconds: Double)? {
        guard let entry = entries[key], let pages = entry.pages else { return nil }
        entries[key]?.users += 1
        return (pages, entry.seconds)
    }

    /// Notes where the rows of a packed segment have been decoded to, for its first user.
    mutating func unpack(_ key: ChunkKey, pages: [PageID]) {
        precondition(entries[key]?.users == 0 && entries[key]?.pages == nil, "the segment is not packed")
        entries[key]?.pages = pages
        entries[key]?.users = 1
        packedBytes -= entries[key]?.segment.byteCount ?? 0
    }

    /// Takes a user off each of some segments.
    mutating func leave(_ keys: some Sequence<ChunkKey>) {
        time += 1
        for key in keys {
            entries[key]?.users -= 1
            entries[key]?.left = time
        }
    }

    /// Makes a user of some segments one that waits for its turn.
    mutating func suspend(_ keys: some Sequence<ChunkKey>) {
        leave(keys)
        for key in keys { entries[key]?.waiting += 1 }
    }

    /// Takes a sequence that waited off some segments: it uses them now, or never will.
    mutating func endWait(_ keys: some Sequence<ChunkKey>) {
        for key in keys {
            entries[key]?.waiting -= 1
            guard let entry = entries[key], entry.waiting == 0, entry.pages == nil else { continue }
            packedBytes -= entry.segment.byteCount
            remove(key)
        }
    }

    /// Gives up the decoded rows of the segment that was left the longest ago, the last of its prompt first, and those that nobody
    /// waits for before others; nil if all have users. The coded rows go too, unless somebody waits for them.
    ///
    /// - Returns: Its pages.
    mutating func evict() -> [PageID]? {
        let idle = entries.lazy.filter { $0.value.users == 0 && $0.value.pages != nil }
        let oldest = idle.min {
            ($0.value.waiting, $0.value.left, $1.value.depth) < ($1.value.waiting, $1.value.left, $0.value.depth)
        }
        guard let (key, entry) = oldest else { return nil }
        if entry.waiting == 0 {
            remove(key)
        } else {
            entries[key]?.pages = nil
            packedBytes += entry.segment.byteCount
        }
        return entry.pages
    }

    private mutating func remove(_ key: ChunkKey) {
        codedBytes -= entries.removeValue(forKey: key)?.segment.byteCount ?? 0
    }
}
