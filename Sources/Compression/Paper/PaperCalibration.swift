// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// Makes linear compressors of the paper's kind in closed form. With a linear f_c, `f_c(x) − f_c(r) = W (x − r)`, so what loses
/// least in squared error is the principal components of residuals x − r: no gradient descent (which the paper's own compressors
/// take hours of) is needed.
public struct PaperCalibration {
    private let model: LanguageModel
    private let modelDigest: String
    private let settings: PaperSettings
    private let latentWidth: Int
    private let threads: ThreadPool

    /// A calibration of a model, whose file has the given SHA-256, for latents of a given length; by default a quarter of a row
    /// as in the paper.
    public init(
        model: LanguageModel, modelDigest: String, settings: PaperSettings = PaperSettings(), latentWidth: Int? = nil,
        threads: ThreadPool
    ) {
        let columns = 2 * model.configuration.kvHeads * model.configuration.headDimension
        precondition(latentWidth.map { (1...columns).contains($0) } ?? true, "latents are shorter than rows")
        self.model = model
        self.modelDigest = modelDigest
        self.settings = settings
        self.latentWidth = latentWidth ?? columns / 4
        self.threads = threads
    }

    /// What was found about a layer.
    public struct Report: Sendable {
        /// Place in the model.
        public let layer: Int
        /// The share of the residuals' energy that the latents hold, before they are rounded.
        public let heldShare: Double
    }

    /// Calibrates on texts of token ids and writes the checkpoint, a folder in the published layout.
    ///
    /// - Throws: ``CompressionError``, or `InferenceError` where the model fails on a text.
    public func run(
        _ texts: [[Int32]], writingTo path: String, progress: (Calibration.Progress) -> Void
    ) throws -> [Report] {
        let c = model.configuration
        guard !c.architecture.normalizesHeads else {
            throw CompressionError.file(
                path: path,
                reason:
                    "cannot be made: the published layout codes keys before heads are normalised, as this model does")
        }
        let limit = min(Calibration.longestText, c.contextLength)
        let texts = texts.map { Array($0.prefix(limit)) }.filter { $0.count >= 64 }
        let tokens = texts.reduce(0) { $0 + $1.count }
        guard tokens >= Calibration.leastTokens else {
            throw CompressionError.tooLittleText(tokens: tokens, needed: Calibration.leastTokens)
        }
        let blas: OpenBLAS
        do throws(KernelError) { blas = try OpenBLAS() } catch { throw CompressionError.kernel(error) }
        let covariances = try residuals(of: texts, tokens, blas, progress)
        var layers: [PaperCheckpointWriter.Layer] = [], reports: [Report] = []
        for (index, covariance) in covariances.enumerated() {
            let (layer, held) = try Self.components(of: covariance, count: latentWidth, layer: index, blas)
            layers.append(layer)
            reports.append(Report(layer: index, heldShare: held))
            progress(.layers(index + 1, of: covariances.count))
        }
        try PaperCheckpointWriter.save(
            layers, columns: covariances[0].columns, latent: latentWidth, settings: settings, modelDigest: modelDigest,
            path: path)
        return reports
    }

    /// Second moments of all layers' residuals.
    private func residuals(
        of texts: [[Int32]], _ tokens: Int, _ blas: OpenBLAS, _ progress: (Calibration.Progress) -> Void
    ) throws -> [Covariance] {
        let c = model.configuration, columns = 2 * c.kvHeads * c.headDimension
        let longest = texts.map(\.count).max() ?? 1, compute = Compute(pool: threads)
        let capture = RowCapture(c)
        let kept = try SegmentRows(layers: c.layers, tokens: longest, columns: columns)
        let pool = try KVPool(
            configuration: c, dataType: .float16, pageCount: KVPool.pages(forTokens: longest))
        let pass = try ForwardPass(model: model, pool: pool, threads: threads, maxRows: 512)
        guard let pages = pool.allocate(KVPool.pages(forTokens: longest)) else {
            preconditionFailure("the pool was made for this")
        }
        pass.tap = capture
        var covariances = (0..<c.layers).map { _ in Covariance(columns: columns) }, done = 0
        for text in texts {
            for first in stride(from: 0, to: text.count, by: pass.maxRows) {
                let piece = Array(text[first..<min(text.count, first + pass.maxRows)])
                capture.spans = [.init(row: 0, count: piece.count, rows: kept, first: first)]
                try pass.run([Segment(tokens: piece, position: first, pages: pages, wantsLogits: false)]) { _, _ in }
                done += piece.count
                progress(.tokens(done, of: tokens))
            }
            for layer in 0..<c.layers {
                let rows = kept.rows(layer: layer).first(text.count)
                for row in 0..<rows.rows where !rows[row: row].allSatisfy(\.isFinite) {
                    throw CompressionError.nonFiniteRow(layer: layer)
                }
                let search = PaperResiduals(settings: settings, columns: columns)
                let left = try search.residuals(of: rows, with: compute)
                left.withUnsafeBufferPointer {
                    guard let base = $0.baseAddress else { return }
                    covariances[layer].add(base, count: left.count / columns, blas, on: threads)
                }
            }
        }
        return covariances
    }

    /// The strongest principal components, and the share of the energy that they hold.
    static func components(
        of covariance: Covariance, count: Int, layer: Int, _ blas: OpenBLAS
    ) throws -> (PaperCheckpointWriter.Layer, Double) {
        let n = covariance.columns
        let values: [Double], vectors: [Double]
        do throws(KernelError) {
            (values, vectors) = try blas.eigen(symmetric: covariance.mean, n: n)
        } catch {
            throw CompressionError.kernel(error)
        }
        // Eigenvalues ascend; rounding may take those of constant columns below zero.
        let energy = values.reduce(0) { $0 + max(0, $1) }
        guard energy > 0 else { throw CompressionError.degenerate(layer: layer, reason: "its rows do not vary") }
        var down: [Float] = [], up = Array(repeating: Float(0), count: n * count)
        for index in 0..<count {
            let vector = vectors[(n - 1 - index) * n..<(n - index) * n].map(Float.init)
            for i in 0..<n { up[i * count + index] = vector[i] }
            down += vector
        }
        let held = values.suffix(count).reduce(0) { $0 + max(0, $1) } / energy
        return (PaperCheckpointWriter.Layer(down: down, up: up), held)
    }
}
