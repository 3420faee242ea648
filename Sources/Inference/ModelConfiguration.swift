// SPDX-License-Identifier: Apache-2.0
import Kernels
import ModelFiles

/// The shape of a transformer, read from GGUF metadata. Every value is within bounds that keep arithmetic on it safe; that
/// the weights have these shapes is checked when they are loaded.
public struct ModelConfiguration: Sendable, Equatable {
    /// Architecture as the file names it; `llama`.
    public let architecture: String
    /// Transformer layers.
    public let layers: Int
    /// Elements of the residual stream.
    public let hidden: Int
    /// Query heads of a layer.
    public let heads: Int
    /// KV heads of a layer; divides ``heads``.
    public let kvHeads: Int
    /// Elements of a head.
    public let headDimension: Int
    /// Elements of the feed-forward layer.
    public let feedForward: Int
    /// Tokens of the vocabulary (rows of the token embedding).
    public let vocabulary: Int
    /// Tokens of the longest context the model was trained for.
    public let contextLength: Int
    /// Added to the mean square in RMS normalisation.
    public let rmsEpsilon: Float
    /// Base of the rotary embedding's wavelengths.
    public let ropeTheta: Float

    /// Reads and checks the configuration.
    ///
    /// - Throws: ``InferenceError`` for what is unsupported or out of bounds, `GGUFError` for missing or mistyped keys.
    public init(file: GGUFFile) throws {
        let keys = file.metadata
        architecture = try keys.string("general.architecture")
        guard architecture == "llama" else { throw InferenceError.unsupportedArchitecture(architecture) }
        layers = try Self.bounded(keys, "llama.block_count", 1...1024)
        hidden = try Self.bounded(keys, "llama.embedding_length", 1...65536)
        heads = try Self.bounded(keys, "llama.attention.head_count", 1...1024)
        kvHeads = try Self.bounded(keys, "llama.attention.head_count_kv", 1...1024, default: heads)
        headDimension = try Self.headDimension(keys, hidden: hidden, heads: heads)
        feedForward = try Self.bounded(keys, "llama.feed_forward_length", 1...(1 << 20))
        contextLength = try Self.bounded(keys, "llama.context_length", 1...(1 << 24))
        rmsEpsilon = try Self.positive(keys, "llama.attention.layer_norm_rms_epsilon", default: nil)
        ropeTheta = try Self.positive(keys, "llama.rope.freq_base", default: 10000)
        vocabulary = try Self.vocabulary(file, hidden: hidden)
        try checkAttention()
        try Self.checkFeatures(file)
    }

    private func checkAttention() throws {
        guard heads % kvHeads == 0 else {
            throw InferenceError.invalidConfiguration(
                key: "llama.attention.head_count_kv", reason: "\(kvHeads) does not divide \(heads) query heads")
        }
        guard heads / kvHeads <= KVLayout.largestGroup else {
            throw InferenceError.unsupportedFeature("\(heads / kvHeads) query heads on one KV head")
        }
        guard headDimension % KVLayout.headDimensionStep == 0, headDimension <= KVLayout.largestHeadDimension else {
            throw InferenceError.unsupportedFeature("a head dimension of \(headDimension)")
        }
    }

    private static func bounded(
        _ keys: GGUFMetadata, _ key: String, _ range: ClosedRange<Int>, default fallback: Int? = nil
    ) throws -> Int {
        let value = try fallback.map { try keys.intIfPresent(key) ?? $0 } ?? keys.int(key)
        guard range.contains(value) else {
            throw InferenceError.invalidConfiguration(
                key: key, reason: "\(value) is not between \(range.lowerBound) and \(range.upperBound)")
        }
        return value
    }

    private static func positive(_ keys: GGUFMetadata, _ key: String, default fallback: Float?) throws -> Float {
        let value = try fallback.map { try keys.floatIfPresent(key) ?? $0 } ?? keys.float(key)
        guard value > 0, value.isFinite else {
            throw InferenceError.invalidConfiguration(key: key, reason: "\(value) is not a positive number")
        }
        return value
    }

    private static func headDimension(_ keys: GGUFMetadata, hidden: Int, heads: Int) throws -> Int {
        let key = "llama.attention.key_length"
        let dimension = try bounded(keys, key, 1...4096, default: max(1, hidden / heads))
        if try keys.intIfPresent(key) == nil, hidden % heads != 0 {
            throw InferenceError.invalidConfiguration(
                key: "llama.attention.head_count", reason: "\(heads) does not divide the embedding length \(hidden)")
        }
        for (key, what) in [
            ("llama.attention.value_length", "values that are not as long as keys"),
            ("llama.rope.dimension_count", "a rotary embedding of a part of each head"),
        ] where try bounded(keys, key, 1...4096, default: dimension) != dimension {
            throw InferenceError.unsupportedFeature(what)
        }
        return dimension
    }

    private static func vocabulary(_ file: GGUFFile, hidden: Int) throws -> Int {
        let embedding = try file.tensor(named: "token_embd.weight")
        guard embedding.shape.count == 2, embedding.shape[0] == hidden, (1...(1 << 22)).contains(embedding.shape[1])
        else {
            throw InferenceError.wrongShape(
                tensor: embedding.name, expected: [hidden, embedding.shape.last ?? 0], found: embedding.shape)
        }
        return embedding.shape[1]
    }

    /// Names what the file asks for and this implementation would silently get wrong.
    private static func checkFeatures(_ file: GGUFFile) throws {
        let keys = file.metadata
        let scaling = try keys.stringIfPresent("llama.rope.scaling.type") ?? "none"
        guard scaling == "none" else { throw InferenceError.unsupportedFeature("RoPE scaling of type \"\(scaling)\"") }
        for key in ["llama.rope.scaling.factor", "llama.rope.scale_linear"] {
            let factor = try keys.floatIfPresent(key) ?? 1
            guard factor == 1 || factor == 0 else { throw InferenceError.unsupportedFeature("RoPE scaling (\(key))") }
        }
        if file.tensors.contains(where: { $0.name == "rope_freqs.weight" }) {
            throw InferenceError.unsupportedFeature("RoPE scaling by frequency factors (tensor rope_freqs.weight)")
        }
        for (key, what) in [
            ("llama.expert_count", "a mixture of experts"),
            ("llama.attention.sliding_window", "sliding-window attention"),
        ] where try (keys.intIfPresent(key) ?? 0) != 0 {
            throw InferenceError.unsupportedFeature("\(what) (\(key))")
        }
    }
}
