// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// Decides which tokens of which sequences the next step computes. A pure state machine: no I/O, no clock, no tensors.
///
/// Sequences are admitted in the order they came, as soon as there are KV pages for their longest possible course, so that
/// one that runs can always run to its end; after a while it may make room for others and get in line again. A step first takes one token of every sequence that decodes, then
/// fills the rest of its rows with prompt tokens, oldest sequence first. Of a prompt that is coded in segments a step takes
/// tokens of one segment at most.
struct Scheduler {
    /// What bounds a step.
    struct Limits: Equatable {
        /// Sequences that run at once.
        var sequences: Int
        /// Tokens computed in a step.
        var rows: Int
        /// Tokens that a KV page holds.
        var pageTokens: Int
        /// Pages in the pool.
        var pages: Int
    }

    typealias ID = UInt64

    private struct Sequence {
        let id: ID
        /// Tokens that it may grow to.
        let capacity: Int
        /// Where the segments end that its prompt is coded in.
        let segmentEnds: [Int]
        /// Tokens known: what was given and what was generated.
        var known: Int
        /// Tokens whose keys and values are in the cache.
        var computed: Int
        /// Tokens that were known when it was admitted.
        var knownBefore = 0

        var pending: Int { known - computed }
    }

    /// A run of tokens of one sequence to compute in a step.
    struct Work: Equatable {
        var id: ID
        /// Positions of the tokens in the sequence.
        var positions: Range<Int>
        /// Whether the last position's logits choose the sequence's next token.
        var choosesToken: Bool
    }

    private let limits: Limits
    private var waiting: Deque<Sequence> = []
    private var running: [Sequence] = []

    init(limits: Limits) { self.limits = limits }

    var isEmpty: Bool { waiting.isEmpty && running.isEmpty }
    /// Sequences in the batch.
    var runningCount: Int { running.count }

    /// Pages that a sequence of this many tokens fills.
    func pages(forTokens count: Int) -> Int {
        (count + limits.pageTokens - 1) / limits.pageTokens
    }

    /// Sequences that run, the oldest first.
    var runningIDs: [ID] { running.map(\.id) }

    /// Sequences that wait, the next first.
    var waitingIDs: [ID] { waiting.map(\.id) }

    /// Whether sequences wait for pages rather than for a place in the batch.
    var waitsForPages: Bool { !waiting.isEmpty && running.count < limits.sequences }

    /// Sequences that have generated so many tokens since they were admitted, the oldest first.
    func idsThatHadTheirTurn(tokens: Int) -> [ID] {
        running.filter { $0.pending == 1 && $0.known - $0.knownBefore >= tokens }.map(\.id)
    }

    /// Whether any sequence generates tokens.
    var decodes: Bool { running.contains { $0.pending == 1 && $0.computed > 0 } }

    /// Adds a sequence that may grow to `capacity` tokens, which must fit the pool.
    ///
    /// - Parameters:
    ///   - givenTokens: Tokens that are there before one is chosen.
    ///   - segmentEnds: Where the segments end that its prompt is coded in, in ascending order.
    mutating func enqueue(_ id: ID, givenTokens: Int, capacity: Int, segmentEnds: [Int] = []) {
        precondition(givenTokens > 0 && capacity >= givenTokens && pages(forTokens: capacity) <= limits.pages)
        waiting.append(
            Sequence(id: id, capacity: capacity, segmentEnds: segmentEnds, known: givenTokens, computed: 0))
    }

    /// Adds sequences whose first tokens are in the cache. They come next: everything that runs ends without them, so there
    /// will be pages for them.
    mutating func enqueueNext(_ ids: [ID], givenTokens: Int, capacity: Int, computed: Int) {
        for id in ids.reversed() {
            waiting.prepend(
                Sequence(id: id, capacity: capacity, segmentEnds: [], known: givenTokens, computed: computed))
        }
    }

    /// Moves waiting sequences into the batch while there are pages for them.
    ///
    /// - Parameter reserve: Sets pages aside for a sequence of `tokens` tokens and says how many of these are in the cache
    ///   already; nil where there are too few pages.
    mutating func admit(_ reserve: (_ id: ID, _ tokens: Int) -> Int?) {
        while running.count < limits.sequences, var next = waiting.first {
            guard let computed = reserve(next.id, next.capacity) else { return }
            waiting.removeFirst()
            next.computed = max(next.computed, computed)
            next.knownBefore = next.known
            running.append(next)
        }
    }

    /// Puts a sequence that runs back in line, the last; nothing of it counts as computed.
    mutating func suspend(_ id: ID) {
        guard let index = running.firstIndex(where: { $0.id == id }) else { return }
        var sequence = running.remove(at: index)
        sequence.computed = 0
        waiting.append(sequence)
    }

    /// Records that a running sequence's tokens up to a position are in the cache.
    mutating func advance(_ id: ID, to computed: Int) {
        guard let index = running.firstIndex(where: { $0.id == id }) else { return }
        running[index].computed = computed
    }

    /// The next step's work: empty only if no sequence runs that is not to wait.
    ///
    /// - Parameter held: Sequences that sit out, because another one computes what they need.
    func plan(without held: Set<ID> = []) -> [Work] {
        var rows = limits.rows
        var work: [Work] = []
        func take(_ sequence: Sequence) {
            var count = min(sequence.pending, rows)
            if let end = sequence.segmentEnds.first(where: { $0 > sequence.computed }) {
                count = min(count, end - sequence.computed)
            }
            guard count > 0 else { return }
            rows -= count
            work.append(
                Work(
                    id: sequence.id, positions: sequence.computed..<sequence.computed + count,
                    choosesToken: count == sequence.pending))
        }
        running.lazy.filter { $0.pending == 1 }.forEach(take)
        running.lazy.filter { $0.pending > 1 && !held.contains($0.id) }.forEach(take)
        return work
    }

    /// Records that a planned run of tokens was computed, and that it chose a token if it was to.
    mutating func complete(_ work: Work) {
        guard let index = running.firstIndex(where: { $0.id == work.id }) else { return }
        running[index].computed = work.positions.upperBound
        if work.choosesToken { running[index].known += 1 }
    }

    /// Takes a sequence out, whether it waits or runs.
    ///
    /// - Returns: Whether it ran, and so held pages.
    @discardableResult
    mutating func remove(_ id: ID) -> Bool {
        if let index = running.firstIndex(where: { $0.id == id }) {
            running.remove(at: index)
            return true
        }
        waiting.removeAll { $0.id == id }
        return false
    }
}
