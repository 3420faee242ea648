// SPDX-License-Identifier: Apache-2.0
import ModelFiles

extension ModelConfiguration {
    /// Reads and checks the metadata of a GGUF file.
    ///
    /// - Throws: ``InferenceError`` for what is unsupported or out of bounds, `GGUFError` for missing or mistyped keys.
    public init(file: GGUFFile) throws {
        let keys = file.metadata
        let name = try keys.string("general.architecture")
        guard let known = Architecture.all.first(where: { $0.name == name }) else {
            throw InferenceError.unsupportedArchitecture(name)
        }
        let hidden = try Self.bounded(keys, "\(name).embedding_length", Bounds.hidden)
        let heads = try Self.bounded(keys, "\(name).attention.head_count", Bounds.heads)
        let layers = try Self.bounded(keys, "\(name).block_count", Bounds.layers)
        let contextLength = try Self.bounded(keys, "\(name).context_length", Bounds.contextLength)
        self.init(
            architecture: known, layers: layers, hidden: hidden, heads: heads,
            kvHeads: try Self.bounded(keys, "\(name).attention.head_count_kv", Bounds.heads, default: heads),
            headDimension: try Self.headDimension(keys, name, hidden: hidden, heads: heads),
            feedForward: try Self.bounded(keys, "\(name).feed_forward_length", Bounds.feedForward),
            vocabulary: try Self.vocabulary(file, hidden: hidden), contextLength: contextLength,
            rmsEpsilon: try Self.positive(keys, "\(name).attention.layer_norm_rms_epsilon", default: nil),
            ropeTheta: try Self.positive(keys, "\(name).rope.freq_base", default: 10000),
            ropeScaling: try RotaryScaling(keys, architecture: name),
            attentionWindows: try Self.windows(keys, known, contextLength: contextLength, layers: layers),
            tiesEmbedding: !file.tensors.contains { $0.name == "output.weight" })
        try check(
            heads: "\(name).attention.head_count", kvHeads: "\(name).attention.head_count_kv",
            theta: "\(name).rope.freq_base")
        let experts = "\(name).expert_count"
        guard try (keys.intIfPresent(experts) ?? 0) == 0 else {
            throw InferenceError.unsupportedFeature("a mixture of experts (\(experts))")
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
        let even =
            try keys.intIfPresent(key)
            ?? evenHead(hidden: hidden, heads: heads, key: "\(name).attention.head_count")
        let dimension = try bounded(keys, key, Bounds.headDimension, default: even)
        for (key, what) in [
            ("\(name).attention.value_length", "values that are not as long as keys"),
            ("\(name).rope.dimension_count", "a rotary embedding of a part of each head"),
        ] where try bounded(keys, key, Bounds.headDimension, default: dimension) != dimension {
            throw InferenceError.unsupportedFeature(what)
        }
        return dimension
    }

    private static func vocabulary(_ file: GGUFFile, hidden: Int) throws -> Int {
        let embedding = try file.tensor(named: "token_embd.weight")
        guard embedding.shape.count == 2, embedding.shape[0] == hidden, Bounds.vocabulary.contains(embedding.shape[1])
        else {
            throw InferenceError.wrongShape(
                tensor: embedding.name, expected: [hidden, embedding.shape.last ?? 0], found: embedding.shape)
        }
        return embedding.shape[1]
    }

    /// Which layers slide is said by a pattern; without one llama's (Mistral's) window holds in all, and of another family's
    /// model it is not known.
    private static func windows(
        _ keys: GGUFMetadata, _ architecture: Architecture, contextLength: Int, layers: Int
    ) throws -> [Int?] {
        let key = "\(architecture.name).attention.sliding_window"
        let window = try keys.intIfPresent(key) ?? 0
        guard window >= 0 else {
            throw InferenceError.invalidConfiguration(key: key, reason: "\(window) is negative")
        }
        let slides = try slidingLayers(keys, key + "_pattern", layers: layers)
        let windows = windows(window == 0 ? nil : window, contextLength: contextLength, layers: layers) {
            slides?[$0] ?? true
        }
        guard architecture == .llama || slides != nil || windows.allSatisfy({ $0 == nil }) else {
            throw InferenceError.unsupportedFeature(
                "a sliding window in layers that its file does not name (\(key) without \(key)_pattern)")
        }
        return windows
    }

    /// Which layers slide: a truth value for each, or a number n, of which every n-th layer does not, as in llama.cpp; nil where
    /// the file does not say.
    private static func slidingLayers(_ keys: GGUFMetadata, _ key: String, layers: Int) throws -> [Bool]? {
        if let period = try? keys.intIfPresent(key) {
            guard period >= 0 else {
                throw InferenceError.invalidConfiguration(key: key, reason: "\(period) is negative")
            }
            return (0..<layers).map { period == 0 || $0 % period < period - 1 }
        }
        guard let flags = try keys.boolsIfPresent(key) else { return nil }
        guard flags.count == layers else {
            throw InferenceError.invalidConfiguration(
                key: key, reason: "it has \(flags.count) values for \(layers) layers")
        }
        return flags
    }
}
