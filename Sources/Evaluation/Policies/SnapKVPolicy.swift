// SPDX-License-Identifier: Apache-2.0
import Kernels

/// Keeps, for each KV head, the tokens that the history's last 32 queries attend to most, smoothed over neighbours (Li et al.,
/// SnapKV, arXiv 2404.14469), besides the tokens at both ends.
///
/// The queries are the history's own: what is asked later is not known when it is compressed.
public struct SnapKVPolicy: CachePolicy {
    /// Neighbours over which attention is smoothed by its maximum.
    static let pool = 7

    /// Tokens kept of a history for each KV head, both ends included.
    public let budget: TokenBudget
    private let ends = ExactEnds()

    /// A policy that keeps `budget` tokens.
    public init(budget: TokenBudget) { self.budget = budget }

    /// Such as `snapkv-1024`.
    public var name: String { "snapkv-\(budget)" }

    /// Drops what the last queries do not attend to.
    public func compress(_ history: History) -> CompressedHistory {
        let middle = ends.middle(of: history.count)
        let picked = max(0, min(middle.count, budget.of(history.count) - (history.count - middle.count)))
        let kept = history.count - middle.count + picked
        return CompressedHistory(
            bytes: CacheBytes(memory: history.shape.exactBytes(tokens: kept)),
            selector: AttendedTokens(history: history, middle: middle, picked: picked))
    }
}

/// For each layer and KV head the tokens that the last queries attend to.
private final class AttendedTokens: TokenSelector, @unchecked Sendable {
    // Written in prepare, before rows are computed.
    private let history: History
    private let middle: Range<Int>
    private let picked: Int
    private var kept: [[[Int32]]]

    init(history: History, middle: Range<Int>, picked: Int) {
        self.history = history
        self.middle = middle
        self.picked = picked
        kept = Array(repeating: [], count: history.shape.layers)
    }

    func prepare(layer: Int, rows: Matrix) {
        let shape = history.shape, queries = history.lastQueries(layer: layer)
        precondition(queries.rows > 0, "the history's last queries were not recorded")
        kept[layer] = (0..<shape.kvHeads).map { head in
            let scores = Self.smoothed(votes(layer, head, queries, rows))
            let picks = TopScores.positions(of: Array(scores[middle]), count: picked).map {
                Int32(middle.lowerBound + $0)
            }
            return (0..<Int32(middle.lowerBound)) + picks + (Int32(middle.upperBound)..<Int32(rows.rows))
        }
    }

    /// The attention that each token gets from the last queries of a KV head, each seeing what is before it and in its window.
    private func votes(_ layer: Int, _ head: Int, _ queries: Matrix, _ rows: Matrix) -> [Float] {
        let shape = history.shape, group = shape.heads / shape.kvHeads
        let gathered = GatheredAttention(group: group, headDimension: shape.headDimension)
        let tokens = (0..<Int32(rows.rows)).map { $0 }
        var votes = [Float](repeating: 0, count: rows.rows)
        var probabilities = [Float](repeating: 0, count: group * rows.rows)
        var output = [Float](repeating: 0, count: group * shape.headDimension)
        for row in 0..<queries.rows {
            let seen = rows.rows - queries.rows + row + 1
            let first = shape.windows[layer].map { max(0, seen - $0) } ?? 0
            tokens[first..<seen].withUnsafeBufferPointer { tokens in
                guard let base = queries[row: row].baseAddress else { return }
                gathered.attend(
                    queries: base + head * group * shape.headDimension, rows: rows,
                    keyColumn: head * shape.headDimension, valueColumn: shape.keyWidth + head * shape.headDimension,
                    tokens: tokens, probabilities: &probabilities, output: &output)
            }
            for member in 0..<group {
                for token in first..<seen { votes[token] += probabilities[member * (seen - first) + token - first] }
            }
        }
        return votes
    }

    private static func smoothed(_ votes: [Float]) -> [Float] {
        let reach = SnapKVPolicy.pool / 2
        return votes.indices.map { index in
            votes[max(0, index - reach)...min(votes.count - 1, index + reach)].max() ?? 0
        }
    }

    func select(layer: Int, row: Int, kvHead: Int, queries: UnsafePointer<Float>, into positions: inout [Int32]) {
        positions += kept[layer][kvHead]
    }
}
