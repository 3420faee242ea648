// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// How much errors in each layer's keys and values matter: noise is added to one layer's rows of a text's beginning, and the
/// tokens that come after show by how many nats their distributions move.
///
/// The metric of ``AttentionStatistics`` tells which errors of a row cost more than others; this tells what they cost, which
/// differs between layers by a factor of a thousand.
final class LayerEffects {
    /// Texts that are looked at, tokens of their beginnings that get noise, and tokens after them.
    private static let texts = 2, history = 1536, after = 512
    private static let step = 512
    /// Divergence, in nats, up to which it grows with the square of errors; and the least noise, as a share of the rows' variance.
    private static let mostDivergence = 0.05, leastShare: Float = 1.0 / 64

    /// A text's beginning and what follows it.
    private struct Trial {
        let history, after: [Int32]
        /// Its first row among the captured ones.
        let first: Int
    }

    private let capture: CalibrationCapture
    private let configuration: ModelConfiguration
    private let sinks: Int
    private let trials: [Trial]
    private let pass: ForwardPass
    private let threads: ThreadPool
    private let pages: [PageID]

    /// - Throws: `InferenceError` or `KernelError` if memory is refused.
    init(model: LanguageModel, threads: ThreadPool, texts: [[Int32]], capture: CalibrationCapture, sinks: Int) throws {
        self.capture = capture
        self.sinks = sinks
        self.threads = threads
        configuration = model.configuration
        trials = Self.trials(texts)
        let count = KVPool.pages(forTokens: Self.history + Self.after)
        let pool = try KVPool(configuration: model.configuration, dataType: .int8, pageCount: count)
        pass = try ForwardPass(model: model, pool: pool, threads: threads, maxRows: Self.step)
        guard let pages = pool.allocate(count) else { preconditionFailure("the pool was made for this") }
        self.pages = pages
    }

    /// The longest texts.
    private static func trials(_ texts: [[Int32]]) -> [Trial] {
        var first = 0, trials: [Trial] = []
        for text in texts {
            let history = min(Self.history, text.count * 3 / 4)
            trials.append(
                Trial(
                    history: Array(text[..<history]), after: Array(text[history...].prefix(Self.after)), first: first))
            first += text.count
        }
        func length(_ trial: Trial) -> Int { trial.history.count + trial.after.count }
        return Array(trials.sorted { (length($1), $0.first) < (length($0), $1.first) }.prefix(Self.texts))
    }

    /// For each layer, nats of Kullback-Leibler divergence for a unit of its metric, at least a ten-thousandth of the mean.
    ///
    /// - Throws: ``CompressionError/degenerate(layer:reason:)`` where noise changes nothing at all; `InferenceError`.
    func measure(progress: (_ layers: Int) -> Void) throws -> [Double] {
        let layers = configuration.layers
        var effects = Array(repeating: 0.0, count: layers)
        for (number, trial) in trials.enumerated() {
            try prefill(trial)
            let trail = try ResidualTrail(configuration, rows: trial.after.count)
            let exact = try distributions(trial, trail)
            for layer in 0..<layers {
                let rows = UnsafeBufferPointer(
                    start: capture.rows[layer].floats(at: 4 * trial.first * capture.columns),
                    count: trial.history.count * capture.columns)
                effects[layer] += try effect(of: layer, rows, trial, trail, exact)
                store(Array(rows), layer)
                progress(number * layers + layer + 1)
            }
        }
        let floor = effects.reduce(0, +) / Double(layers) * 1e-4
        guard floor > 0, floor.isFinite else {
            throw CompressionError.degenerate(layer: 0, reason: "errors in what came before change nothing")
        }
        return effects.map { max($0, floor) / Double(trials.count) }
    }

    /// Nats for a unit of the metric. The noise is as strong as the rows themselves at first, so that it stands out from what
    /// int8 products round, and weaker where that turns everything over, because small errors are what matters.
    private func effect(
        of layer: Int, _ rows: UnsafeBufferPointer<Float>, _ trial: Trial, _ trail: ResidualTrail,
        _ exact: Distributions
    ) throws -> Double {
        let noise = Noise(of: rows, columns: capture.columns, sinks: sinks, seed: UInt64(layer))
        let cost = noise.cost(capture.statistics.metrics[layer])
        var share: Float = 1
        while true {
            let scale = share.squareRoot()
            store(zip(rows, noise.values).map { $0 + scale * $1 }, layer)
            let moved = try distributions(trial, trail, from: layer).divergence(
                from: exact, on: threads)
            if moved < Self.mostDivergence || share <= Self.leastShare { return moved / (cost * Double(share)) }
            share /= 8
        }
    }

    /// Steps that ``measure(progress:)`` takes.
    var steps: Int { trials.count * configuration.layers }

    private func prefill(_ trial: Trial) throws {
        for first in stride(from: 0, to: trial.history.count, by: Self.step) {
            let piece = Array(trial.history[first...].prefix(Self.step))
            try pass.run([Segment(tokens: piece, position: first, pages: pages, wantsLogits: false)]) { _, _ in }
        }
    }

    private func store(_ rows: [Float], _ layer: Int) {
        var rows = rows
        rows.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            let all = Matrix(base, rows: buffer.count / capture.columns, columns: capture.columns)
            for first in stride(from: 0, to: all.rows, by: Self.step) {
                pass.store(
                    all.rows(first, min(Self.step, all.rows - first)), layer: layer, position: first, pages: pages)
            }
        }
    }

    /// What the model says after the history, whose rows have changed in `layer` at most since the trail was kept.
    private func distributions(
        _ trial: Trial, _ trail: ResidualTrail, from layer: Int? = nil
    ) throws -> Distributions {
        var rows: [[Float]] = []
        let segment = Segment(tokens: trial.after, position: trial.history.count, pages: pages, wantsLogits: true)
        try pass.runAll([segment], every: Distributions.every, trail: trail, from: layer) { rows.append(Array($2)) }
        return Distributions(logits: rows, on: threads)
    }
}
