// SPDX-License-Identifier: Apache-2.0

/// The requests for several samples: which sequences belong to them, and what came of them.
///
/// The first sample computes the prompt; the others begin when its whole pages are in the cache, and compute only what is
/// left of the prompt. A pure state machine.
struct SampleGroups {
    typealias ID = Scheduler.ID

    private struct Group {
        let samples: Int
        /// The sequences by sample; the request's own comes first, the others once they begin.
        var members: [ID]
        var results: [Generation?]
        var outputTokens = 0
    }

    private var groups: [ID: Group] = [:]
    private var requests: [ID: ID] = [:]
    /// Sequences that are no request's own count from here: tickets never come so far.
    private var nextID: ID = 1 << 63

    /// The request that a sequence belongs to.
    func request(of id: ID) -> ID { requests[id] ?? id }

    /// All sequences of a request.
    func members(of request: ID) -> [ID] { groups[request]?.members ?? [request] }

    /// Whether the sequence is a request's first sample, whose text is streamed.
    func isFirst(_ id: ID) -> Bool { requests[id] == nil }

    /// Notes a request for several samples.
    mutating func add(_ request: ID, samples: Int) {
        groups[request] = Group(samples: samples, members: [request], results: Array(repeating: nil, count: samples))
    }

    /// Whether the request's other samples have not begun.
    func awaitsFork(_ id: ID) -> Bool { groups[id].map { $0.members.count < $0.samples } ?? false }

    /// Begins the other samples.
    ///
    /// - Returns: Their sequences, from sample 1 on.
    mutating func fork(_ request: ID) -> [ID] {
        guard let group = groups[request] else { return [] }
        let others = (1..<group.samples).map { nextID + ID($0) }
        nextID += ID(group.samples)
        groups[request]?.members += others
        for other in others { requests[other] = request }
        return others
    }

    /// Notes that a sequence has ended.
    ///
    /// - Returns: What the request came to, once its last sample has ended; then ``remove(_:)`` it.
    mutating func finish(_ id: ID, _ generation: Generation) -> Generation? {
        let request = request(of: id)
        guard let group = groups[request], let sample = group.members.firstIndex(of: id) else { return generation }
        groups[request]?.results[sample] = generation
        groups[request]?.outputTokens += generation.outputTokens
        let results = groups[request]?.results.compactMap(\.self) ?? []
        guard results.count == group.samples, var whole = results.first else { return nil }
        for result in results.dropFirst() { whole.add(result) }
        return whole
    }

    /// Tokens of samples that have ended.
    func finishedTokens(of request: ID) -> Int { groups[request]?.outputTokens ?? 0 }

    /// Forgets a request.
    mutating func remove(_ request: ID) {
        for member in groups.removeValue(forKey: request)?.members ?? [] { requests[member] = nil }
    }
}
