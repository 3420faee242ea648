// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// Decides which tokens of which sequences the next step computes. A pure state machine: no I/O, no clock, no tensors.
///
/// Sequences are admitted in the order they came, as soon as the KV pages for their longest possible course are free:
/// an admitted sequence always runs to its end. A step first takes one token of every sequence that decodes, then
/// fills the rest of its rows with prompt tokens, oldest sequence first.
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
        /// Pages that are the sequence's own.
        var pages: Int
        /// Tokens known: the prompt and what was generated.
        var known: Int
        /// Tokens whose keys and values are in the cache.
        var computed: Int

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
    private(set) var freePages: Int

    init(limits: Limits) {
        self.limits = limits
        freePages = limits.pages
    }

    var isEmpty: Bool { waiting.isEmpty && running.isEmpty }

    /// Pages that a sequence of this many tokens fills.
    func pages(forTokens count: Int) -> Int {
        (count + limits.pageTokens - 1) / limits.pageTokens
    }

    /// Adds a sequence that may grow to `capacity` tokens, which must fit the pool.
    mutating func enqueue(_ id: ID, promptTokens: Int, capacity: Int) {
        precondition(promptTokens > 0 && capacity >= promptTokens && pages(forTokens: capacity) <= limits.pages)
        waiting.append(Sequence(id: id, pages: pages(forTokens: capacity), known: promptTokens, computed: 0))
    }

    /// Adds sequences that begin like a running one, and lets it keep the pages of the beginning beyond its own end, until
    /// ``release(pages:)``. They come next: everything that runs ends without them, so pages for them come free.
    mutating func fork(_ id: ID, into others: [ID], promptTokens: Int, capacity: Int, sharedPages: Int) {
        guard let index = running.firstIndex(where: { $0.id == id }) else { return }
        running[index].pages -= sharedPages
        for other in others.reversed() {
            waiting.prepend(
                Sequence(
                    id: other, pages: pages(forTokens: capacity) - sharedPages, known: promptTokens,
                    computed: sharedPages * limits.pageTokens))
        }
    }

    /// Takes back pages that ``fork(_:into:promptTokens:capacity:sharedPages:)`` kept.
    mutating func release(pages: Int) { freePages += pages }

    /// Moves waiting sequences into the batch while they fit, and returns them with the pages they are given.
    mutating func admit() -> [(id: ID, pages: Int)] {
        var admitted: [(id: ID, pages: Int)] = []
        while running.count < limits.sequences, let next = waiting.first, next.pages <= freePages {
            waiting.removeFirst()
            freePages -= next.pages
            running.append(next)
            admitted.append((next.id, next.pages))
        }
        return admitted
    }

    /// The next step's work: empty only if no sequence runs.
    func plan() -> [Work] {
        var rows = limits.rows
        var work: [Work] = []
        func take(_ sequence: Sequence) {
            let count = min(sequence.pending, rows)
            guard count > 0 else { return }
            rows -= count
            work.append(
                Work(
                    id: sequence.id, positions: sequence.computed..<sequence.computed + count,
                    choosesToken: count == sequence.pending))
        }
        running.lazy.filter { $0.pending == 1 }.forEach(take)
        running.lazy.filter { $0.pending > 1 }.forEach(take)
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
            freePages += running.remove(at: index).pages
            return true
        }
        waiting.removeAll { $0.id == id }
        return false
    }
}
