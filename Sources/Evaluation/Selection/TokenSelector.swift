// SPDX-License-Identifier: Apache-2.0
import Kernels

/// Chooses the tokens of a history that later tokens attend to.
///
/// Called layer by layer; within a layer rows come from several threads, each row from one thread, its KV heads in order.
public protocol TokenSelector: AnyObject, Sendable {
    /// Shows a layer's history as attention sees it: rows `[keys | values]`, keys rotated. Called before any row is computed.
    func prepare(layer: Int, rows: Matrix)

    /// Appends the history positions that a row attends to, ascending.
    ///
    /// - Parameters:
    ///   - row: Of the step, below ``HistoryRunner/stepTokens``.
    ///   - queries: The rotated queries that share the KV head, `[group][head dimension]`.
    func select(layer: Int, row: Int, kvHead: Int, queries: UnsafePointer<Float>, into positions: inout [Int32])

    /// Shows what the row's attention to the chosen positions was, `[group][stride]`, the history's tokens first.
    func attended(layer: Int, row: Int, kvHead: Int, probabilities: UnsafePointer<Float>, stride: Int)
}

extension TokenSelector {
    /// Most selectors do not learn from attention.
    public func attended(layer: Int, row: Int, kvHead: Int, probabilities: UnsafePointer<Float>, stride: Int) {}
}

/// The largest of many scores.
enum TopScores {
    /// The positions of the `count` largest scores, ascending; of equal scores the earlier positions.
    static func positions(of scores: [Float], count: Int) -> [Int] {
        guard count < scores.count else { return Array(scores.indices) }
        guard count > 0 else { return [] }
        let threshold = scores.sorted(by: >)[count - 1]
        var equal = count - scores.reduce(0) { $0 + ($1 > threshold ? 1 : 0) }
        return scores.indices.filter { index in
            if scores[index] > threshold { return true }
            guard scores[index] == threshold, equal > 0 else { return false }
            equal -= 1
            return true
        }
    }
}
