// SPDX-License-Identifier: Apache-2.0
import Compression
import Inference
import Kernels

#if canImport(Glibc)
    import Glibc
#endif

/// How likely a model finds a text with weights and cache as they are: what a form of weights or of keys and values costs shows
/// in the difference of two runs.
public struct Perplexity: Sendable {
    /// Tokens that were predicted.
    public private(set) var tokens = 0
    /// Sum of their negative log-likelihoods, nats.
    private var loss = 0.0

    /// `exp` of the mean negative log-likelihood of a token.
    public var value: Double { exp(loss / Double(tokens)) }

    /// Nothing measured yet.
    public init() {}

    /// Adds another's tokens.
    public mutating func merge(_ other: Perplexity) {
        tokens += other.tokens
        loss += other.loss
    }

    /// Tokens of a step.
    private static let chunk = 512

    /// Measures the first tokens of a text, each predicted from all before it.
    ///
    /// - Parameters:
    ///   - compressor: Codes the text in segments, each predicted from the decoded ones before, as jobs do; nil for none.
    ///   - sparse: What each token attends to, as generated ones do; nil: everything before it.
    /// - Throws: `CompressionError`, ``EvaluationError/contextTooShort(needed:limit:)``, ``EvaluationError/textTooShort(name:tokens:needed:)`` or
    ///   the model's error.
    public init(
        of tokens: some Collection<Int32>, name: String, model: LanguageModel, dataType: KVDataType,
        compressor: Compressor? = nil, sparse: SparseAttention? = nil, threads: ThreadPool
    ) throws {
        let tokens = Array(tokens), limit = model.configuration.contextLength
        guard tokens.count > 1 else { throw EvaluationError.textTooShort(name: name, tokens: tokens.count, needed: 2) }
        guard tokens.count <= limit else { throw EvaluationError.contextTooShort(needed: tokens.count, limit: limit) }
        let count = KVPool.pages(forTokens: tokens.count)
        let pool = try KVPool(configuration: model.configuration, dataType: dataType, pageCount: count)
        guard let pages = pool.allocate(count) else { preconditionFailure("a new pool has all its pages") }
        let pass = try ForwardPass(model: model, pool: pool, threads: threads, maxRows: Self.chunk, sparse: sparse)
        let coder = try compressor.map { try SegmentCoder(compressor: $0, forward: pass) }
        let encoder = try coder?.encoder(after: []), rows = try coder?.buffer()
        let capture = RowCapture(model.configuration)
        if coder != nil { pass.tap = capture }
        let chunk = coder == nil ? Self.chunk : SegmentCoder.tokens
        var loss = 0.0
        for first in stride(from: 0, to: tokens.count - 1, by: chunk) {
            let piece = Array(tokens[first..<min(first + chunk, tokens.count - 1)])
            let segment = Segment(tokens: piece, position: first, pages: pages, wantsLogits: false, sparseFrom: 0)
            if let rows { capture.spans = [.init(row: 0, count: piece.count, rows: rows, first: 0)] }
            try pass.runAll([segment]) { _, index, logits in
                loss += Divergence.logSum(logits) - Double(logits[Int(tokens[first + index + 1])])
            }
            guard piece.count == chunk, let coder, let encoder, let rows else { continue }
            _ = try coder.code(rows, count: SegmentCoder.tokens, with: encoder, pages: pages)
        }
        self.tokens = tokens.count - 1
        self.loss = loss
    }
}
