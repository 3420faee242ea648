// SPDX-License-Identifier: Apache-2.0
import Kernels

/// Keeps all tokens and reads, for each query, the pages of 16 whose keys could score highest (Tang et al., Quest,
/// arXiv 2406.10774), besides the tokens at both ends. The first two layers read everything.
public struct QuestPolicy: CachePolicy {
    /// Tokens of a page.
    static let page = 16
    /// Layers that read everything.
    static let denseLayers = 2

    /// Tokens read in pages, for each query and KV head.
    public let budget: TokenBudget
    private let ends = ExactEnds()

    /// A policy that reads `budget` tokens in pages.
    public init(budget: TokenBudget) { self.budget = budget }

    /// Such as `quest-512`.
    public var name: String { "quest-\(budget)" }

    /// Keeps everything, and the bounds of each page in f16, which a file does not need.
    public func compress(_ history: History) -> CompressedHistory {
        let middle = ends.middle(of: history.count, group: Self.page), shape = history.shape
        let sparse = max(0, shape.layers - Self.denseLayers)
        let bounds = sparse * (middle.count / Self.page) * 2 * shape.keyWidth * 2
        return CompressedHistory(
            bytes: CacheBytes(memory: history.exactBytes + bounds, disk: history.exactBytes),
            selector: BoundedPages(
                shape: shape, middle: middle, count: history.count, pages: budget.of(history.count) / Self.page))
    }
}

/// Pages by the bounds of their keys.
private final class BoundedPages: TokenSelector, @unchecked Sendable {
    // Written in prepare, before rows are computed.
    private let shape: CacheShape
    private let middle: Range<Int>
    private let count: Int
    private let pages: Int
    private let gathered: GatheredAttention
    // [layer][KV head]: [page][smallest | largest].
    private var bounds: [[[Float]]]

    init(shape: CacheShape, middle: Range<Int>, count: Int, pages: Int) {
        self.shape = shape
        self.middle = middle
        self.count = count
        self.pages = pages
        gathered = GatheredAttention(group: shape.heads / shape.kvHeads, headDimension: shape.headDimension)
        bounds = Array(repeating: [], count: shape.layers)
    }

    func prepare(layer: Int, rows: Matrix) {
        guard layer >= QuestPolicy.denseLayers else { return }
        bounds[layer] = (0..<shape.kvHeads).map { head in
            stride(from: middle.lowerBound, to: middle.upperBound, by: QuestPolicy.page).flatMap { first in
                pageBounds(rows, first: first, column: head * shape.headDimension)
            }
        }
    }

    private func pageBounds(_ rows: Matrix, first: Int, column: Int) -> [Float] {
        let d = shape.headDimension
        var low = [Float](repeating: .infinity, count: d), high = [Float](repeating: -.infinity, count: d)
        for row in first..<first + QuestPolicy.page {
            let key = rows[row: row]
            for i in 0..<d {
                low[i] = min(low[i], key[column + i])
                high[i] = max(high[i], key[column + i])
            }
        }
        return low + high
    }

    func select(layer: Int, row: Int, kvHead: Int, queries: UnsafePointer<Float>, into positions: inout [Int32]) {
        let all = 0..<Int32(count)
        guard layer >= QuestPolicy.denseLayers else { return positions += all }
        var scores = [Float](repeating: 0, count: middle.count / QuestPolicy.page)
        bounds[layer][kvHead].withUnsafeBufferPointer { bounds in
            scores.withUnsafeMutableBufferPointer { gathered.pageBounds(queries: queries, bounds: bounds, scores: $0) }
        }
        positions += all.prefix(middle.lowerBound)
        for page in TopScores.positions(of: scores, count: pages) {
            let first = Int32(middle.lowerBound + page * QuestPolicy.page)
            positions += first..<first + Int32(QuestPolicy.page)
        }
        positions += all.dropFirst(middle.upperBound)
    }
}
