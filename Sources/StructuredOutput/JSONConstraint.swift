// SPDX-License-Identifier: Apache-2.0
import Synchronization
import Tokenization

/// Output that is JSON by a schema: says after each token which may come next, so that the text can always be completed in
/// the tokens that are left.
///
/// Thread-safe; what was found out about a state serves all sequences with the same constraint.
public final class JSONConstraint: Sendable {
    /// The schema, as it was given.
    public let schema: String
    let automaton: Automaton
    let trie: TokenTrie
    /// The fewest tokens that an output takes, as far as is known.
    public let minimumTokens: Int
    private let cache = Mutex<[[Reading]: TokenCosts]>([:])

    /// States whose costs are kept; at a vocabulary of 49,152 tokens each takes 96 KiB.
    private static let cachedStates = 512

    /// Reads a schema.
    ///
    /// - Parameters:
    ///   - schema: A JSON schema as text; see ``SchemaError`` for what is supported.
    ///   - trie: The vocabulary.
    public init(schema: String, trie: TokenTrie) throws(SchemaError) {
        self.schema = schema
        automaton = Automaton(grammar: try SchemaReader.grammar(of: schema))
        self.trie = trie
        // What completes a text is made of these, a token each if need be.
        let needed =
            Array(0x20...0x7e) + Array(0x80...0xbf) + automaton.grammar.shortest.joined()
            + automaton.grammar.patternBytes
        if let byte = trie.missingByte(among: needed) { throw .vocabulary(byte: byte) }
        minimumTokens = automaton.closingTokens(automaton.start, trie)
    }

    /// Checks that a schema is supported, without a vocabulary.
    public static func check(schema: String) throws(SchemaError) { _ = try SchemaReader.grammar(of: schema) }

    /// What each token costs in a state.
    func costs(in state: [Reading]) -> TokenCosts {
        let key = state.map { automaton.simplified($0, longestToken: trie.longest) }
        if let known = cache.withLock({ $0[key] }) { return known }
        let costs = TokenCosts(state, automaton: automaton, trie: trie)
        cache.withLock { cache in
            if cache.count >= Self.cachedStates { cache.removeAll() }
            cache[key] = costs
        }
        return costs
    }
}

extension Automaton {
    /// The fewest tokens that complete the text of some readings, as far as is known.
    func closingTokens(_ readings: [Reading], _ trie: TokenTrie) -> Int {
        readings.map { trie.greedyCount(closing(of: $0)) }.min() ?? Int.max
    }

    /// A reading in which the same tokens may come next: of a text that is far from its most characters, how far does not
    /// matter.
    func simplified(_ reading: Reading, longestToken: Int) -> Reading {
        guard var top = reading.top, case .string(let least, let most?) = node(top), top.phase != .start else {
            return reading
        }
        if Int(top.a) >= least { top.a = max(top.a, Int32(least)) }
        if Int(top.a) >= least, most - Int(top.a) > longestToken + 1 {
            top.a = Int32(max(least, most - longestToken - 2))
        }
        return reading.replacing(top)
    }
}

/// For each token of the vocabulary, how many tokens complete the text after it.
final class TokenCosts: Sendable {
    /// ``barred`` where the token may not come.
    let costs: [UInt16]
    static let barred = UInt16.max

    init(_ state: [Reading], automaton: Automaton, trie: TokenTrie) {
        var costs = [UInt16](repeating: Self.barred, count: trie.vocabulary)
        var path: [[Reading]] = [state], known: [[Reading]: UInt16] = [:], place = 0
        while place < trie.nodes.count {
            let node = trie.nodes[place], depth = Int(node.depth)
            if path.count == depth { path.append([]) }
            // Taken out so that it is changed in place.
            var next: [Reading] = []
            swap(&next, &path[depth])
            automaton.advance(path[depth - 1], node.byte, into: &next)
            swap(&next, &path[depth])
            guard !path[depth].isEmpty else {
                place = Int(node.skip)
                continue
            }
            place += 1
            if node.count == 0 { continue }
            let cost = known[path[depth]] ?? Self.cost(path[depth], automaton, trie)
            known[path[depth]] = cost
            for token in trie.tokens[Int(node.first)..<Int(node.first + node.count)] { costs[Int(token)] = cost }
        }
        self.costs = costs
    }

    private static func cost(_ readings: [Reading], _ automaton: Automaton, _ trie: TokenTrie) -> UInt16 {
        UInt16(min(automaton.closingTokens(readings, trie), Int(barred) - 1))
    }
}

/// Where a sequence is in its constraint.
public struct ConstraintCursor: Sendable {
    private let constraint: JSONConstraint
    private var state: [Reading]

    /// Starts before the first token.
    public init(_ constraint: JSONConstraint) {
        self.constraint = constraint
        state = constraint.automaton.start
    }

    /// Whether the text so far satisfies the schema.
    public var isComplete: Bool { constraint.automaton.isComplete(state) }

    /// Whether it does, and nothing may be added.
    public var isFinished: Bool { !state.isEmpty && state.allSatisfy { $0.top == nil } }

    /// Bars tokens from a row of logits.
    ///
    /// - Parameters:
    ///   - logits: One value for each token; those barred become negative infinity.
    ///   - tokensLeft: How many tokens may still be generated, the next one included.
    ///   - ends: The tokens that end the output, which may come once the text satisfies the schema.
    public func restrict(_ logits: UnsafeMutableBufferPointer<Float>, tokensLeft: Int, ends: Set<TokenID>) {
        let costs = constraint.costs(in: state).costs, most = UInt16(clamping: min(tokensLeft - 1, Int(UInt16.max) - 1))
        let open =
            isComplete
            ? ends.compactMap { token in logits.indices.contains(Int(token)) ? (Int(token), logits[Int(token)]) : nil }
            : []
        costs.withUnsafeBufferPointer { costs in
            for index in logits.indices where index >= costs.count || costs[index] > most { logits[index] = -.infinity }
        }
        for (token, value) in open { logits[token] = value }
    }

    /// Takes the token chosen.
    public mutating func advance(_ token: TokenID) {
        var next: [Reading] = []
        for byte in constraint.trie.bytes(of: token) {
            constraint.automaton.advance(state, byte, into: &next)
            swap(&state, &next)
        }
    }
}
