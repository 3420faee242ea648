// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// Keeps all tokens; a few observation layers read everything, and the layers after each read only the tokens that it attended
/// to most, by its head that cares most, besides the tokens at both ends (Hao et al., OmniKV, ICLR 2025).
public struct OmniKVPolicy: CachePolicy {
    /// Tokens picked for each query.
    public let budget: TokenBudget
    /// Layers that read everything; nil for a sixth of a model's layers, denser at its beginning.
    public let observationLayers: [Int]?
    private let ends = ExactEnds()

    /// A policy that picks `budget` tokens.
    public init(budget: TokenBudget, observationLayers: [Int]? = nil) {
        self.budget = budget
        self.observationLayers = observationLayers
    }

    /// Such as `omnikv-512`.
    public var name: String { "omnikv-\(budget)" }

    /// Keeps everything.
    public func compress(_ history: History) -> CompressedHistory {
        CompressedHistory(
            bytes: CacheBytes(memory: history.exactBytes),
            selector: ObservedTokens(
                shape: history.shape, layers: observationLayers ?? Self.defaultLayers(of: history.shape.layers),
                middle: ends.middle(of: history.count), count: history.count, budget: budget.of(history.count)))
    }

    /// Layers 0, 2, 7, 14 and 20 of 30, and the like for other depths.
    static func defaultLayers(of layers: Int) -> [Int] {
        Set([0, 2, 7, 14, 20].map { $0 * layers / 30 }).sorted()
    }
}

/// Tokens that the last observation layer attended to.
private final class ObservedTokens: TokenSelector, @unchecked Sendable {
    // Each row's entries belong to the thread that computes the row.
    private let shape: CacheShape
    private let isObservation: [Bool]
    private let middle: Range<Int>
    private let count: Int
    private let budget: Int
    private let scores: UnsafeMutablePointer<[Float]>
    private let picks: UnsafeMutablePointer<[Int32]>

    init(shape: CacheShape, layers: [Int], middle: Range<Int>, count: Int, budget: Int) {
        self.shape = shape
        isObservation = (0..<shape.layers).map { layers.contains($0) }
        self.middle = middle
        self.count = count
        self.budget = budget
        scores = .allocate(capacity: HistoryRunner.stepTokens)
        picks = .allocate(capacity: HistoryRunner.stepTokens)
        scores.initialize(repeating: [], count: HistoryRunner.stepTokens)
        picks.initialize(repeating: [], count: HistoryRunner.stepTokens)
    }

    deinit {
        scores.deinitialize(count: HistoryRunner.stepTokens)
        picks.deinitialize(count: HistoryRunner.stepTokens)
        scores.deallocate()
        picks.deallocate()
    }

    func prepare(layer: Int, rows: Matrix) {}

    func select(layer: Int, row: Int, kvHead: Int, queries: UnsafePointer<Float>, into positions: inout [Int32]) {
        let all = 0..<Int32(count)
        guard !isObservation[layer] else { return positions += all }
        positions += all.prefix(middle.lowerBound)
        positions += picks[row]
        positions += all.dropFirst(middle.upperBound)
    }

    func attended(layer: Int, row: Int, kvHead: Int, probabilities: UnsafePointer<Float>, stride: Int) {
        guard isObservation[layer] else { return }
        if kvHead == 0 { scores[row] = Array(repeating: 0, count: middle.count) }
        for member in 0..<shape.heads / shape.kvHeads {
            let candidates = UnsafeBufferPointer(start: probabilities + member * stride, count: stride)[middle]
            let sum = candidates.reduce(0, +)
            guard sum > 0 else { continue }
            for (index, value) in candidates.enumerated() { scores[row][index] = max(scores[row][index], value / sum) }
        }
        guard kvHead == shape.kvHeads - 1 else { return }
        picks[row] = TopScores.positions(of: scores[row], count: budget).map { Int32(middle.lowerBound + $0) }
    }
}
