// SPDX-License-Identifier: Apache-2.0
import Kernels
import ModelFiles

/// The shape of a transformer, read from GGUF metadata. Every value is within bounds that keep arithmetic on it safe; that
/// the weights have these shapes is checked when they are loaded.
public struct ModelConfiguration: Sendable, Equatable {
    /// The family that the model belongs to.
    public let architecture: Architecture
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
    /// How rotary frequencies are scaled.
    public let ropeScaling: RotaryScaling

    /// Reads and checks the configuration.
    ///
    /// - Throws: ``InferenceError`` for what is unsupported or out of bounds, `GGUFError` for missing or mistyped keys.
    public init(file: GGUFFile) throws {
        let keys = file.metadata
        let name = try keys.string("general.architecture")
        guard let known = Architecture.all.first(where: { $0.name == name }) else {
            throw InferenceError.unsupportedArchitecture(name)
        }
        architecture = known
        layers = try Self.bounded(keys, "\(name).block_count", 1...1024)
        hidden = try Self.bounded(keys, "\(name).embedding_length", 1...65536)
        heads = try Self.bounded(keys, "\(name).attention.head_count", 1...1024)
        kvHeads = try Self.bounded(keys, "\(name).attention.head_count_kv", 1...1024, default: heads)
        headDimension = try Self.headDimension(keys, name, hidden: hidden, heads: heads)
        feedForward = try Self.bounded(keys, "\(name).feed_forward_length", 1...(1 << 20))
        contextLength = try Self.bounded(keys, "\(name).context_length", 1...(1 << 24))
        rmsEpsilon = try Self.positive(keys, "\(name).attention.layer_norm_rms_epsilon", default: nil)
        ropeTheta = try Self.positive(keys, "\(name).rope.freq_base", default: 10000)
        ropeScaling = try RotaryScaling(keys, architecture: name)
        vocabulary = try Self.vocabulary(file, hidden: hidden)
        try checkAttention(name)
        try checkFeatures(keys, name)
    }

    private func checkAttention(_ name: String) throws {
        guard heads % kvHeads == 0 else {
            throw InferenceError.invalidConfiguration(
                key: "\(name).attention.head_count_kv", reason: "\(kvHeads) does not divide \(heads) query heads")
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

    private static func headDimension(_ keys: GGUFMetadata, _ name: String, hidden: Int, heads: Int) throws -> Int {
        let key = "\(name).attention.key_length"
        let dimension = try bounded(keys, key, 1...4096, default: max(1, hidden / heads))
        if try keys.intIfPresent(key) == nil, hidden % heads != 0 {
            throw InferenceError.invalidConfiguration(
                key: "\(name).attention.head_count", reason: "\(heads) does not divide the embedding length \(hidden)")
        }
        for (key, what) in [
            ("\(name).attention.value_length", "values that are not as long as keys"),
            ("\(name).rope.dimension_count", "a rotary embedding of a part of each head"),
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
    private func checkFeatures(_ keys: GGUFMetadata, _ name: String) throws {
        if case .yarn = ropeScaling, ropeTheta <= 1 {
            throw InferenceError.invalidConfiguration(
                key: "\(name).rope.freq_base", reason: "\(ropeTheta) is not above 1")
        }
        let experts = "\(name).expert_count"
        guard try (keys.intIfPresent(experts) ?? 0) == 0 else {
            throw InferenceError.unsupportedFeature("a mixture of experts (\(experts))")
        }
        // A window that no context outgrows changes nothing.
        let window = "\(name).attention.sliding_window"
        let tokens = try keys.intIfPresent(window) ?? 0
        guard tokens == 0 || tokens >= contextLength else {
            throw InferenceError.unsupportedFeature("sliding-window attention (\(window))")
        }
    }
}
