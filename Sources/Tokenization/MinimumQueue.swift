// SPDX-License-Identifier: Apache-2.0

/// A binary heap of pairs to merge, the lowest rank first and among equals the leftmost place.
struct MinimumQueue {
    private var entries: [UInt64] = []

    /// Packs a rank and a place, both non-negative and below 2^31, so that entries compare in the order of merging.
    static func entry(rank: Int32, place: Int) -> UInt64 { UInt64(UInt32(rank)) << 32 | UInt64(UInt32(place)) }

    /// Unpacks an entry.
    static func parts(_ entry: UInt64) -> (rank: Int32, place: Int) {
        (Int32(truncatingIfNeeded: entry >> 32), Int(entry & 0xffff_ffff))
    }

    /// Starts again with these entries.
    mutating func reset(_ new: some Sequence<UInt64>) {
        entries.removeAll(keepingCapacity: true)
        entries.append(contentsOf: new)
        for index in stride(from: entries.count / 2 - 1, through: 0, by: -1) { sink(index) }
    }

    mutating func push(_ entry: UInt64) {
        var index = entries.count
        entries.append(entry)
        while index > 0, entries[(index - 1) / 2] > entry {
            entries[index] = entries[(index - 1) / 2]
            index = (index - 1) / 2
        }
        entries[index] = entry
    }

    /// Takes the first entry out, nil where there is none.
    mutating func pop() -> UInt64? {
        guard let first = entries.first else { return nil }
        let last = entries.removeLast()
        if !entries.isEmpty {
            entries[0] = last
            sink(0)
        }
        return first
    }

    /// Moves an entry down to its place among its descendants.
    private mutating func sink(_ start: Int) {
        var index = start
        let entry = entries[start]
        while true {
            var child = index * 2 + 1
            guard child < entries.count else { break }
            if child + 1 < entries.count, entries[child + 1] < entries[child] { child += 1 }
            guard entries[child] < entry else { break }
            entries[index] = entries[child]
            index = child
        }
        entries[index] = entry
    }
}
