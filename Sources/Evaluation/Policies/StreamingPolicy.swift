// SPDX-License-Identifier: Apache-2.0
import Kernels

/// Keeps the first and the last tokens and drops those between (Xiao et al., StreamingLLM, arXiv 2309.17453), at their own
/// positions.
public struct StreamingPolicy: CachePolicy {
    /// Tokens kept of a history, sinks included.
    public let budget: TokenBudget
    private let ends = ExactEnds()

    /// A policy that keeps `budget` tokens.
    public init(budget: TokenBudget) { self.budget = budget }

    /// Such as `streaming-1024`.
    public var name: String { "streaming-\(budget)" }

    /// Drops the middle.
    public func compress(_ history: History) -> CompressedHistory {
        let budget = budget.of(history.count)
        let sinks = min(ends.sinks, budget, history.count), kept = min(budget, history.count)
        let positions =
            (0..<sinks).map { Int32($0) } + (history.count - (kept - sinks)..<history.count).map { Int32($0) }
        return CompressedHistory(
            bytes: CacheBytes(memory: history.shape.exactBytes(tokens: kept)),
            selector: SameTokens(positions: positions))
    }
}

/// The same tokens for every layer, head and row.
private final class SameTokens: TokenSelector {
    private let positions: [Int32]

    init(positions: [Int32]) { self.positions = positions }

    func prepare(layer: Int, rows: Matrix) {}

    func select(layer: Int, row: Int, kvHead: Int, queries: UnsafePointer<Float>, into positions: inout [Int32]) {
        positions += self.positions
    }
}
