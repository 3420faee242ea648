// SPDX-License-Identifier: Apache-2.0
import Kernels

/// A page of a ``KVPool``.
public struct PageID: Hashable, Sendable {
    let index: Int32

    /// The slab that the page is a part of.
    var slab: Int { Int(index) / KVLayout.slabPages }
    /// Its place there.
    var place: Int { Int(index) % KVLayout.slabPages }
}

/// Which pages are in use, by how many holders, and which slabs may take memory.
///
/// A sequence's pages should follow each other in slabs, whose parts are then read in order, and memory should grow only where no page
/// that has some is left. So many pages come from slabs that are free as a whole, few from what is left of others, and those of
/// slabs without memory last; of slabs alike the first comes first, which leaves the last ones free.
struct PageAllocator {
    /// Pages that are not in use.
    private(set) var freePages: Int
    private var slabs: [Slab]
    private var holders: [Int32]

    private struct Slab {
        let pages: Int
        /// A bit for each page that is not in use.
        var free: UInt64
        /// Whether it may hold memory.
        var isBacked = false

        init(pages: Int) {
            self.pages = pages
            free = (1 << UInt64(pages)) - 1
        }

        var freeCount: Int { free.nonzeroBitCount }
        var isFree: Bool { freeCount == pages }
    }

    /// So many pages, all free.
    init(pages: Int) {
        freePages = pages
        holders = Array(repeating: 0, count: pages)
        slabs = stride(from: 0, to: pages, by: KVLayout.slabPages).map {
            Slab(pages: min(KVLayout.slabPages, pages - $0))
        }
    }

    /// Pages of slabs that may hold memory.
    var backedPages: Int { slabs.reduce(0) { $0 + ($1.isBacked ? $1.pages : 0) } }

    /// Takes `count` pages, or none and returns nil if there are fewer.
    mutating func allocate(_ count: Int) -> [PageID]? {
        precondition(count >= 0, "a negative number of pages")
        guard count <= freePages else { return nil }
        var taken: [PageID] = []
        taken.reserveCapacity(count)
        func take(where isWanted: (Slab) -> Bool) {
            for index in slabs.indices where taken.count < count && isWanted(slabs[index]) {
                taken += takePages(count - taken.count, ofSlab: index)
            }
        }
        take { $0.isBacked && $0.isFree && $0.pages <= count - taken.count }
        take { $0.isBacked && !$0.isFree }
        take(where: \.isBacked)
        take { _ in true }
        return taken
    }

    /// Takes at most so many pages of a slab.
    private mutating func takePages(_ most: Int, ofSlab index: Int) -> [PageID] {
        var taken: [PageID] = []
        while taken.count < most, slabs[index].free != 0 {
            let place = slabs[index].free.trailingZeroBitCount
            slabs[index].free &= slabs[index].free - 1
            let page = PageID(index: Int32(index * KVLayout.slabPages + place))
            holders[Int(page.index)] = 1
            taken.append(page)
        }
        slabs[index].isBacked = true
        freePages -= taken.count
        return taken
    }

    /// Holds pages that are in use once more.
    mutating func retain(_ pages: some Sequence<PageID>) {
        for page in pages {
            precondition(holders[Int(page.index)] > 0, "a KV page that is free cannot be shared")
            holders[Int(page.index)] += 1
        }
    }

    /// Gives pages back. Traps on a page that is not in use: its next holder's data would be overwritten.
    mutating func release(_ pages: some Sequence<PageID>) {
        for page in pages {
            precondition(holders[Int(page.index)] > 0, "a KV page was given back twice")
            holders[Int(page.index)] -= 1
            guard holders[Int(page.index)] == 0 else { continue }
            slabs[page.slab].free |= 1 << UInt64(page.place)
            freePages += 1
        }
    }

    /// Slabs whose memory is to go until at most so many pages are in slabs that have some, or no free slab has any.
    mutating func discard(downTo most: Int) -> [Int] {
        var backed = backedPages, discarded: [Int] = []
        for index in slabs.indices.reversed() where slabs[index].isBacked && slabs[index].isFree {
            guard backed > most else { break }
            slabs[index].isBacked = false
            backed -= slabs[index].pages
            discarded.append(index)
        }
        return discarded
    }
}
