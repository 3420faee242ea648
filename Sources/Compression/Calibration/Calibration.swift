// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// Makes a compressor for a model from texts: runs them through it once, keeps all keys and values, and solves each layer.
public struct Calibration {
    /// How far it is.
    public enum Progress: Sendable {
        /// Tokens that ran through the model, of all.
        case tokens(Int, of: Int)
        /// Layers in which errors were tried, of all.
        case effects(Int, of: Int)
        /// Layers that are solved, of all.
        case layers(Int, of: Int)
    }

    /// Fewest tokens of text.
    public static let leastTokens = 2048
    /// Tokens of a text that are taken at most; longer ones are cut there.
    public static let longestText = 4608

    private let model: LanguageModel
    private let modelDigest: String
    private let settings: CodecSettings
    private let threads: ThreadPool
    private let observers: Int

    /// A calibration of a model, whose file has the given SHA-256. `observers` layers are to pick tokens for the others.
    public init(
        model: LanguageModel, modelDigest: String, settings: CodecSettings = CodecSettings(), threads: ThreadPool,
        observers: Int = 5
    ) {
        self.model = model
        self.modelDigest = modelDigest
        self.settings = settings
        self.threads = threads
        self.observers = observers
    }

    /// A compressor and what was found about its layers.
    public struct Result {
        /// The compressor.
        public let compressor: Compressor
        /// One a layer.
        public let layers: [LayerReport]
        /// The share of other layers' picks that the observation layers cover.
        public let coverage: Double
    }

    /// Calibrates on texts of token ids. Memory: all their keys and values in fp32, and a few times those of one layer.
    ///
    /// - Throws: ``CompressionError``, or `InferenceError` where the model fails on a text.
    public func run(_ texts: [[Int32]], progress: (Progress) -> Void) throws -> Result {
        let blas: OpenBLAS
        do throws(KernelError) { blas = try OpenBLAS() } catch { throw CompressionError.kernel(error) }
        let limit = min(Self.longestText, model.configuration.contextLength)
        let texts = texts.map { Array($0.prefix(limit)) }.filter { $0.count >= 64 }
        let tokens = texts.reduce(0) { $0 + $1.count }
        guard tokens >= max(Self.leastTokens, 2 * settings.prototypes) else {
            throw CompressionError.tooLittleText(tokens: tokens, needed: max(Self.leastTokens, 2 * settings.prototypes))
        }
        let capture = try CalibrationCapture(
            model: model, tokens: tokens, sinks: settings.sinks, blas: blas, pool: threads)
        try feed(texts, tokens, capture, progress)
        let effects = try LayerEffects(
            model: model, threads: threads, texts: texts, capture: capture, sinks: settings.sinks)
        let costs = try effects.measure { progress(.effects($0, of: effects.steps)) }
        let solutions = try solve(capture, lengths: texts.map(\.count), effects: costs, blas, progress)
        let counts = solutions.dropFirst().reduce(into: solutions[0].counts) { sums, solution in
            for i in sums.indices { sums[i] += solution.counts[i] }
        }
        guard let tables = CodeTables(frequencies: CodeTables.frequencies(counts: counts)) else {
            preconditionFailure("normalised frequencies add up")
        }
        let (observation, coverage) = capture.observation.best(count: min(observers, model.configuration.layers))
        let compressor = try Compressor(
            modelDigest: modelDigest, settings: settings, tables: tables, parameters: solutions.map(\.parameters),
            observationLayers: observation)
        return Result(compressor: compressor, layers: solutions.map(\.report), coverage: coverage)
    }

    /// Runs all texts through the model, each from its beginning.
    private func feed(
        _ texts: [[Int32]], _ tokens: Int, _ capture: CalibrationCapture, _ progress: (Progress) -> Void
    ) throws {
        let count = KVPool.pages(forTokens: texts.map(\.count).max() ?? 1), window = CalibrationCapture.window
        let pool = try KVPool(configuration: model.configuration, dataType: .int8, pageCount: count)
        let pass = try ForwardPass(model: model, pool: pool, threads: threads, maxRows: window)
        guard let pages = pool.allocate(count) else { preconditionFailure("the pool was made for this") }
        pass.tap = capture
        var done = 0
        for text in texts {
            var position = 0
            while position < text.count {
                let piece = Array(text[position..<min(text.count, position + (position == 0 ? window : window / 2))])
                capture.position = done
                capture.looksAtAttention = position == 0
                try pass.run([Segment(tokens: piece, position: position, pages: pages, wantsLogits: false)]) { _, _ in }
                position += piece.count
                done += piece.count
                progress(.tokens(done, of: tokens))
            }
        }
    }

    /// Solves all layers one after another: each is predicted from those before it as they decode.
    private func solve(
        _ capture: CalibrationCapture, lengths: [Int], effects: [Double], _ blas: OpenBLAS,
        _ progress: (Progress) -> Void
    ) throws -> [LayerSolver.Solution] {
        let layers = capture.rows.count, columns = capture.columns
        let compute = Compute(pool: threads, instructionSet: try InstructionSet.fromEnvironment())
        let step = settings.stepSize(layers: layers, columns: columns)
        var solutions: [LayerSolver.Solution] = [], decoded: [ReservedMemory] = []
        for layer in 0..<layers {
            let own = try CompressionError.reserve(4 * lengths.reduce(0, +) * columns)
            let solver = LayerSolver(
                layer: layer, settings: settings, blas: blas, compute: compute, rows: capture.rows[layer].floats(),
                sources: decoded.map { $0.floats() }, lengths: lengths, columns: columns,
                metric: capture.statistics.metrics[layer].map { $0 * effects[layer] }, step: step)
            solutions.append(try solver.solve(decoded: own.floats()))
            decoded = Array(([own] + decoded).prefix(LayerParameters.mostSources))
            progress(.layers(layer + 1, of: layers))
        }
        return solutions
    }
}
