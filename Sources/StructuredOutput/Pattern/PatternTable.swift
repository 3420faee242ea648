// SPDX-License-Identifier: Apache-2.0

/// The texts that match a pattern and have some number of characters, as a deterministic automaton over the bytes between their
/// quotes. Every state can be completed.
final class PatternTable: Sendable {
    /// For each state and byte the next state; negative where there is none. State 0 is the start.
    private let next: [Int32]
    private let accepting: [Bool]
    /// The byte that leads from a state to the end soonest, of equals the least.
    private let towardsEnd: [UInt8]

    private static let mostStates = 4096, mostWork = 50_000_000

    private struct Key: Hashable {
        let states: [Int]
        /// Characters so far, as far as their number matters.
        let count: Int
    }

    /// Makes the table.
    ///
    /// - Throws: ``PatternError`` where no text matches, or the table would be too large.
    init(_ pattern: Pattern, least: Int, most: Int?) throws(PatternError) {
        let graph = try PatternGraph(pattern)
        var keys = [Key(states: Self.closed([0], graph), count: 0)], known = [keys[0]: 0], work = 0
        var next: [Int32] = [], place = 0
        while place < keys.count {
            let key = keys[place]
            place += 1
            var targets = [[Int]](repeating: [], count: 256), ends = [Bool](repeating: false, count: 256)
            for edge in key.states.flatMap({ graph.edges[$0] }) {
                work += edge.bytes.count
                for byte in edge.bytes {
                    targets[Int(byte)].append(edge.target)
                    ends[Int(byte)] = edge.endsCharacter
                }
            }
            for byte in 0..<256 {
                let count = key.count + (ends[byte] ? 1 : 0)
                guard !targets[byte].isEmpty, count <= most ?? count else {
                    next.append(-1)
                    continue
                }
                let states = Self.closed(targets[byte], graph)
                work += states.count
                let target = Key(states: states, count: most == nil ? min(count, least) : count)
                if known[target] == nil {
                    known[target] = keys.count
                    keys.append(target)
                }
                next.append(Int32(known[target] ?? 0))
            }
            guard keys.count <= Self.mostStates, work <= Self.mostWork else {
                throw PatternError(reason: "it needs too large a table: make it, or maxLength, smaller")
            }
        }
        accepting = keys.map { $0.count >= least && $0.states.contains(graph.end) }
        (self.next, towardsEnd) = try Self.completed(next, accepting)
    }

    /// The states that jumps lead to, in order.
    private static func closed(_ states: [Int], _ graph: PatternGraph) -> [Int] {
        var seen = Set(states), open = Array(seen)
        while let state = open.popLast() {
            for target in graph.jumps[state] where seen.insert(target).inserted { open.append(target) }
        }
        return seen.sorted()
    }

    /// Takes the ways out that never end, and finds the shortest ones.
    private static func completed(_ next: [Int32], _ accepting: [Bool]) throws(PatternError) -> ([Int32], [UInt8]) {
        var sources = [[Int]](repeating: [], count: accepting.count)
        for (index, target) in next.enumerated() where target >= 0 { sources[Int(target)].append(index / 256) }
        var distances = accepting.map { $0 ? 0 : Int.max }
        var open = accepting.indices.filter { accepting[$0] }, first = 0
        while first < open.count {
            let state = open[first]
            first += 1
            for source in sources[state] where distances[source] == .max {
                distances[source] = distances[state] + 1
                open.append(source)
            }
        }
        guard distances[0] != .max else { throw PatternError(reason: "no text matches it") }
        let pruned = next.map { $0 >= 0 && distances[Int($0)] != .max ? $0 : -1 }
        let bytes = distances.indices.map { state in
            UInt8(
                (0..<256).first { byte in
                    let target = Int(pruned[state * 256 + byte])
                    return target >= 0 && distances[target] == distances[state] - 1
                } ?? 0)
        }
        return (pruned, bytes)
    }

    /// The state after a byte, nil where it may not come.
    func after(_ state: Int, _ byte: UInt8) -> Int? {
        let target = Int(next[state * 256 + Int(byte)])
        return target >= 0 ? target : nil
    }

    /// Whether the text may end.
    func mayEnd(_ state: Int) -> Bool { accepting[state] }

    /// The fewest bytes that complete a text.
    func closing(of state: Int) -> [UInt8] {
        var state = state, bytes: [UInt8] = []
        while !accepting[state] {
            bytes.append(towardsEnd[state])
            state = Int(next[state * 256 + Int(towardsEnd[state])])
        }
        return bytes
    }

    /// The bytes that complete texts.
    var closingBytes: Set<UInt8> { Set(accepting.indices.filter { !accepting[$0] }.map { towardsEnd[$0] }) }
}
