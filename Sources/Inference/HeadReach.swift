// SPDX-License-Identifier: Apache-2.0
import Glibc
import Kernels

/// What it costs to let a KV head of a model see no more than the first and the last tokens of its context.
///
/// Some heads look at nothing else on any text, or at so much that the average of the last tokens says the same (compare
/// DuoAttention, arXiv 2410.10819, which trains a gate for each head). Found by measuring what all of a text gives a
/// head's rows, and what its ends alone would.
public struct HeadReach: Sendable, Equatable {
    /// [layer][KV head]: the mean square of what its part of the attention's output changes by, relative to that of the residual
    /// stream which enters the layer, times a weight that falls from 1 in the first layer to a third in the last.
    public let costs: [[Float]]

    /// Fewest tokens of text, and of context that a model must allow.
    public static let leastTokens = 2 * part, leastContext = 3 * part
    /// The cost below which a head is local. Chosen on the default model, where up to here hidden keys are found as often as without local
    /// heads, for a tenth to a third of a percent of perplexity (`ops/bench/RESULTS.md`).
    public static let limit: Float = 5e-5

    fileprivate static let part = 1024
    // Tokens that local heads see; every how many rows are looked at; tokens of the pieces in which the text comes again.
    fileprivate static let first = SparseAttention.firstTokens, last = SparseAttention.localTokens, every = 32, run = 16
    // Rows in which a text comes again are rare in prose, but heads that find it again cost most there.
    private static let weightOfRepeated: Float = 0.1

    /// What has been measured before.
    public init(costs: [[Float]]) { self.costs = costs }

    /// Runs the beginning of a text through a model, and then its first half once more, in pieces and in another order.
    ///
    /// - Parameter tokens: At least ``leastTokens``; the model's context is at least ``leastContext``.
    /// - Throws: ``InferenceError``.
    public init(of model: LanguageModel, on tokens: [Int32], threads: ThreadPool) throws {
        precondition(tokens.count >= Self.leastTokens, "too little text")
        let text = Array(tokens[..<(2 * Self.part)]) + Self.shuffled(tokens[..<Self.part])
        let count = KVPool.pages(forTokens: text.count)
        let pool = try KVPool(configuration: model.configuration, dataType: .int8, pageCount: count)
        let pass = try ForwardPass(model: model, pool: pool, threads: threads, maxRows: text.count)
        guard let pages = pool.allocate(count) else { preconditionFailure("the pool was made for this") }
        let tap = ReachTap(model, threads: threads)
        pass.tap = tap
        try withExtendedLifetime(tap) {
            try pass.run([Segment(tokens: text, position: 0, pages: pages, wantsLogits: false)]) { _, _ in }
        }
        let layers = model.configuration.layers
        costs = zip(tap.natural, tap.repeated).enumerated().map { layer, pair in
            // All layers above read the stream, and the logits do.
            let weight = (1 + 2 * Float(layers - layer) / Float(layers)) / 3
            return zip(pair.0, pair.1).map { weight * ($0 + Self.weightOfRepeated * $1) }
        }
    }

    /// Runs of a text in another order, the same every time.
    private static func shuffled(_ tokens: ArraySlice<Int32>) -> [Int32] {
        let runs = part / run
        // An odd step visits each of them once: their number is a power of two.
        return (0..<runs).flatMap { index in
            let first = 37 * index % runs * run
            return tokens[first..<first + run]
        }
    }

    /// Which heads cost less than `limit`.
    public func local(below limit: Float = Self.limit) -> [[Bool]] { costs.map { $0.map { $0 < limit } } }
}

/// Measures while a text runs through a model.
private final class ReachTap: LayerTap {
    /// [layer][KV head], in the text's second part and in the third, which repeats the first.
    private(set) var natural: [[Float]] = [], repeated: [[Float]] = []
    private let model: LanguageModel
    private let threads: ThreadPool
    private let rows: [Int]
    // Of the residual stream, mean squares in the second and third part.
    private var energies: (Float, Float) = (0, 0)

    init(_ model: LanguageModel, threads: ThreadPool) {
        self.model = model
        self.threads = threads
        let part = HeadReach.part, every = HeadReach.every
        rows = Array(stride(from: part + every - 1, to: 3 * part, by: every))
    }

    func entered(layer: Int, residual: Matrix) {
        let squares = rows.map { row in residual[row: row].reduce(Float(0)) { $0 + $1 * $1 } }
        energies = Self.halves(squares)
    }

    func projected(layer: Int, queryKeyValue: Matrix) {}

    func attend(layer: Int, rotated: Matrix, to attended: Matrix) -> Bool {
        let c = model.configuration, output = model.attentionOutput(layer: layer)
        var changes = Array(repeating: Float(0), count: rows.count * c.kvHeads)
        changes.withUnsafeMutableBufferPointer { changes in
            // Written by one thread each; the rows are only read.
            nonisolated(unsafe) let changes = changes
            nonisolated(unsafe) let context = HeadContext(rotated: rotated, output: output, configuration: c)
            threads.run(count: changes.count) { [rows] in
                changes[$0] = context.change(row: rows[$0 % rows.count], kvHead: $0 / rows.count)
            }
        }
        let means = (0..<c.kvHeads).map { Self.halves(Array(changes[$0 * rows.count..<($0 + 1) * rows.count])) }
        natural.append(means.map { $0.0 / max(energies.0, .leastNormalMagnitude) })
        repeated.append(means.map { $0.1 / max(energies.1, .leastNormalMagnitude) })
        return false
    }

    private static func halves(_ values: [Float]) -> (Float, Float) {
        let half = values.count / 2
        return (values[..<half].reduce(0, +) / Float(half), values[half...].reduce(0, +) / Float(values.count - half))
    }
}

/// Queries, keys and values of a layer, and what follows attention.
private struct HeadContext {
    private typealias Lanes = SIMD16<Float>

    /// `[queries | keys | values]`, queries and keys rotated.
    let rotated: Matrix
    /// [hidden][heads · head dimension]
    let output: [Float]
    let configuration: ModelConfiguration

    /// The square of what the heads of a group change in a row's attention when they see the ends of their context only.
    func change(row: Int, kvHead: Int) -> Float {
        let c = configuration, d = c.headDimension, group = c.heads / c.kvHeads, width = c.heads * d
        var changes = Array(repeating: Float(0), count: group * d)
        for index in 0..<group {
            let difference = difference(row: row, head: kvHead * group + index, kvHead: kvHead)
            changes.replaceSubrange(index * d..<(index + 1) * d, with: difference)
        }
        return output.withUnsafeBufferPointer { output in
            changes.withUnsafeBufferPointer { changes in
                guard let changes = changes.baseAddress, let output = output.baseAddress else { return 0 }
                return (0..<c.hidden).reduce(Float(0)) { sum, row in
                    let change = Self.dot(output + row * width + kvHead * group * d, changes, group * d)
                    return sum + change * change
                }
            }
        }
    }

    /// What a head's row gets from all tokens less what it gets from the first and the last, [d].
    private func difference(row: Int, head: Int, kvHead: Int) -> [Float] {
        let c = configuration, d = c.headDimension, scale = 1 / Float(d).squareRoot()
        let query = rotated.base + row * rotated.stride + head * d
        let keys = rotated.base + (c.heads + kvHead) * d, values = keys + c.kvHeads * d
        let scores = (0...row).map { Self.dot(query, keys + $0 * rotated.stride, d) * scale }
        let largest = scores.max() ?? 0
        var near = Array(repeating: Lanes(), count: d / Lanes.scalarCount), far = near
        var nearSum = Float(0), farSum = Float(0)
        for (token, score) in scores.enumerated() {
            let weight = exp(score - largest), value = values + token * rotated.stride
            if token < HeadReach.first || token + HeadReach.last > row {
                nearSum += weight
                Self.add(value, weight, to: &near)
            } else {
                farSum += weight
                Self.add(value, weight, to: &far)
            }
        }
        let sum = nearSum + farSum
        return zip(near, far).flatMap { near, far in
            // A head all of whose weight is far away sees next to nothing.
            let difference = (near + far) / sum - (nearSum > 0 ? near / nearSum : Lanes())
            return difference.indices.map { difference[$0] }
        }
    }

    private static func add(_ x: UnsafePointer<Float>, _ weight: Float, to sums: inout [Lanes]) {
        for i in sums.indices { sums[i] += weight * lanes(x + i * Lanes.scalarCount) }
    }

    private static func dot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ count: Int) -> Float {
        var sum = Lanes()
        for i in stride(from: 0, to: count, by: Lanes.scalarCount) { sum += lanes(x + i) * lanes(y + i) }
        return sum.sum()
    }

    private static func lanes(_ x: UnsafePointer<Float>) -> Lanes {
        UnsafeRawPointer(x).loadUnaligned(as: Lanes.self)
    }
}
