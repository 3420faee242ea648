// SPDX-License-Identifier: Apache-2.0
import Foundation

/// In which order chunks go when room is needed.
///
/// A chunk is worth the seconds of prefill that it saves for each of its bytes, half as much for each day that nobody used it. It is
/// worth at least what any chunk after it in a chain is worth, since those cannot be used without it: so ends of chains go
/// before beginnings. Chunks whose beginning is missing are worth nothing.
enum EvictionOrder {
    private static let halfLife: TimeInterval = 86400

    /// All chunks, the first to go first; none before a chunk that follows it.
    static func order(_ entries: [ChunkKey: CacheEntry], now: Date) -> [CacheEntry] {
        let beginnings = entries.values.sorted { $0.index < $1.index }
        var isWhole: Set<ChunkKey> = []
        for entry in beginnings where entry.index == 0 || isWhole.contains(entry.parent) { isWhole.insert(entry.key) }
        var value: [ChunkKey: Double] = [:]
        for entry in beginnings.reversed() {
            let own = isWhole.contains(entry.key) ? worth(entry, now: now) : 0
            let best = max(own, value[entry.key] ?? 0)
            value[entry.key] = best
            value[entry.parent] = max(best, value[entry.parent] ?? 0)
        }
        return entries.values.sorted { a, b in
            let (x, y) = (value[a.key] ?? 0, value[b.key] ?? 0)
            if x != y { return x < y }
            return a.index != b.index ? a.index > b.index : a.key.description < b.key.description
        }
    }

    /// Chunks that nobody can reach, and the chunk before them that is missing or too old to be used; ends of chains first.
    ///
    /// - Parameter isUsable: Whether a chunk that is there may still be used.
    static func unreachable(
        _ entries: [ChunkKey: CacheEntry], isUsable: (CacheEntry) -> Bool
    ) -> [(entry: CacheEntry, blocker: ChunkKey)] {
        var blockers: [ChunkKey: ChunkKey] = [:], found: [(CacheEntry, ChunkKey)] = []
        for entry in entries.values.sorted(by: { $0.index < $1.index }) {
            var blocker = blockers[entry.parent]
            if blocker == nil, entry.index > 0, entries[entry.parent] == nil { blocker = entry.parent }
            if blocker == nil, !isUsable(entry) { blocker = entry.key }
            guard let blocker else { continue }
            blockers[entry.key] = blocker
            found.append((entry, blocker))
        }
        return found.reversed()
    }

    private static func worth(_ entry: CacheEntry, now: Date) -> Double {
        let idle = max(0, now.timeIntervalSince(max(entry.lastUsed, entry.created)))
        return entry.prefillSeconds / Double(max(1, entry.bytes)) * exp2(-idle / halfLife)
    }
}
