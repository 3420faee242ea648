// SPDX-License-Identifier: Apache-2.0

/// Merges the tokens of one word until no pair is left that merges: always the pair of lowest rank, the leftmost of
/// equals. Keeps its buffers from word to word.
struct WordMerger {
    private let merges: MergeTable
    /// The tokens of the word; while merging a long word, those at unlinked places are stale.
    private var tokens: [TokenID] = []
    /// The rank of the pair that starts at each place.
    private var ranks: [Int32] = []
    private var links = Links()
    private var queue = MinimumQueue()

    /// Up to this length the lowest rank is looked for among all; beyond it that would be quadratic.
    private static let scannedLength = 48
    /// A longer word is merged in pieces of this length, which bounds the memory for hostile text.
    static let longestWord = 1 << 22

    init(merges: MergeTable) { self.merges = merges }

    /// Merges a word of single-byte tokens and adds the result to `output`.
    mutating func merge(_ word: some Sequence<TokenID>, into output: inout [TokenID]) {
        tokens.removeAll(keepingCapacity: true)
        tokens.append(contentsOf: word)
        guard tokens.count > 1 else { return output.append(contentsOf: tokens) }
        ranks.removeAll(keepingCapacity: true)
        for place in 1..<tokens.count { ranks.append(merges.rank(tokens[place - 1], tokens[place])) }
        ranks.append(MergeTable.never)
        if tokens.count <= Self.scannedLength { mergeByScanning() } else { mergeByQueue() }
        output.append(contentsOf: tokens)
    }

    private mutating func mergeByScanning() {
        while true {
            var place = 0
            for candidate in 1..<ranks.count where ranks[candidate] < ranks[place] { place = candidate }
            guard ranks[place] != MergeTable.never else { return }
            tokens[place] = merges.result(ofRank: ranks[place])
            tokens.remove(at: place + 1)
            ranks.remove(at: place + 1)
            ranks[place] = place + 1 < tokens.count ? merges.rank(tokens[place], tokens[place + 1]) : MergeTable.never
            if place > 0 { ranks[place - 1] = merges.rank(tokens[place - 1], tokens[place]) }
            if tokens.count == 1 { return }
        }
    }

    private mutating func mergeByQueue() {
        links.reset(count: tokens.count)
        queue.reset(
            ranks.indices.lazy.filter { [ranks] in ranks[$0] != MergeTable.never }.map { [ranks] in
                MinimumQueue.entry(rank: ranks[$0], place: $0)
            })
        while let entry = queue.pop() {
            let (rank, place) = MinimumQueue.parts(entry)
            // Entries are not taken out when their pair changes; they no longer agree with it then.
            guard ranks[place] == rank else { continue }
            let absorbed = links.next(place)
            tokens[place] = merges.result(ofRank: rank)
            ranks[absorbed] = MergeTable.never
            links.remove(absorbed)
            updateRank(at: place)
            if place > 0 { updateRank(at: links.previous(place)) }
        }
        var kept = 0
        var place = 0
        while place < links.count {
            tokens[kept] = tokens[place]
            kept += 1
            place = links.next(place)
        }
        tokens.removeSubrange(kept...)
    }

    private mutating func updateRank(at place: Int) {
        let next = links.next(place)
        let rank = next < links.count ? merges.rank(tokens[place], tokens[next]) : MergeTable.never
        // A pair whose rank stays the same already has its entry.
        guard rank != ranks[place] else { return }
        ranks[place] = rank
        if rank != MergeTable.never { queue.push(MinimumQueue.entry(rank: rank, place: place)) }
    }
}

/// A doubly linked list over the places 0 ..< count; the end is `count`.
private struct Links {
    private(set) var count = 0
    private var nexts: [Int32] = []
    private var previouses: [Int32] = []

    mutating func reset(count: Int) {
        self.count = count
        nexts.removeAll(keepingCapacity: true)
        previouses.removeAll(keepingCapacity: true)
        for place in 0..<Int32(count) {
            nexts.append(place + 1)
            previouses.append(place - 1)
        }
    }

    func next(_ place: Int) -> Int { Int(nexts[place]) }
    func previous(_ place: Int) -> Int { Int(previouses[place]) }

    mutating func remove(_ place: Int) {
        let (before, after) = (previouses[place], nexts[place])
        nexts[Int(before)] = after
        if after < Int32(count) { previouses[Int(after)] = before }
    }
}
