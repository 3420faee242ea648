// SPDX-License-Identifier: Apache-2.0
import ModelFiles

extension ModelConfiguration {
    /// Reads and checks `config.json` of a folder.
    ///
    /// - Throws: ``InferenceError`` for what is missing, unsupported or out of bounds.
    public init(folder: HuggingFaceFolder) throws(InferenceError) {
        let keys = ConfigurationKeys(folder.configuration)
        let type = try keys.text("model_type", default: "unknown")
        guard let known = Architecture.all.first(where: { $0.modelTypes.contains(type) }) else {
            throw .unsupportedArchitecture(type)
        }
        try Self.checkFeatures(keys)
        let hidden = try keys.int("hidden_size", Bounds.hidden)
        let heads = try keys.int("num_attention_heads", Bounds.heads)
        let layers = try keys.int("num_hidden_layers", Bounds.layers)
        let trained = try keys.int("max_position_embeddings", Bounds.contextLength)
        let scaling = try RotaryScaling(config: keys, contextLength: trained)
        let contextLength = scaling.contextLength(trained: trained)
        let head =
            keys.value("head_dim") == nil
            ? try Self.evenHead(hidden: hidden, heads: heads, key: "num_attention_heads")
            : try keys.int("head_dim", Bounds.headDimension)
        let bases = Float.leastNonzeroMagnitude...1e30
        let theta = try RotaryScaling.parameters(keys).number(
            "rope_theta", bases, default: keys.number("rope_theta", bases, default: 10000))
        self.init(
            architecture: known, layers: layers, hidden: hidden, heads: heads,
            kvHeads: try keys.int("num_key_value_heads", Bounds.heads, default: heads),
            headDimension: head,
            feedForward: try keys.int("intermediate_size", Bounds.feedForward),
            vocabulary: try keys.int("vocab_size", Bounds.vocabulary), contextLength: contextLength,
            rmsEpsilon: try keys.number("rms_norm_eps", Float.leastNonzeroMagnitude...1, default: 1e-6),
            ropeTheta: theta,
            ropeScaling: scaling,
            attentionWindows: try Self.windows(keys, type, contextLength: contextLength, layers: layers),
            tiesEmbedding: try keys.bool("tie_word_embeddings", default: false))
        try check(heads: "num_attention_heads", kvHeads: "num_key_value_heads", theta: "rope_theta")
    }

    /// Names what the model asks for and this implementation would silently get wrong.
    private static func checkFeatures(_ keys: ConfigurationKeys) throws(InferenceError) {
        let activation = try keys.text("hidden_act", default: "silu")
        guard activation == "silu" else { throw .unsupportedFeature("the activation \"\(activation)\"") }
        for key in ["attention_bias", "mlp_bias"] {
            if try keys.bool(key, default: false) { throw .unsupportedFeature("biases (\(key))") }
        }
        guard keys.value("quantization_config") == nil else {
            throw .unsupportedFeature("weights quantised by another program (quantization_config)")
        }
        guard try keys.number("partial_rotary_factor", 0...1, default: 1) == 1 else {
            throw .unsupportedFeature("a rotary embedding of a part of each head")
        }
    }

    /// Mistral's window holds in all layers; Qwen's, where it is used, in those that `layer_types` names, or above
    /// `max_window_layers`.
    private static func windows(_ keys: ConfigurationKeys, _ type: String, contextLength: Int, layers: Int)
        throws(InferenceError) -> [Int?]
    {
        let all = type == "mistral", some = try keys.bool("use_sliding_window", default: false) && type != "llama"
        guard all || some, keys.value("sliding_window") != nil else {
            return windows(nil, contextLength: contextLength, layers: layers)
        }
        let window = try keys.int("sliding_window", 1...Int(Int32.max))
        if all { return windows(window, contextLength: contextLength, layers: layers) }
        if let types = keys.value("layer_types") {
            let names = types.elements?.compactMap(\.text) ?? []
            guard names.count == layers,
                names.allSatisfy({ $0 == "full_attention" || $0 == "sliding_attention" })
            else { throw keys.invalid("layer_types", "it does not say of each layer full or sliding attention") }
            return windows(window, contextLength: contextLength, layers: layers) { names[$0] == "sliding_attention" }
        }
        let first = try keys.int("max_window_layers", 0...Bounds.layers.upperBound, default: 28)
        return windows(window, contextLength: contextLength, layers: layers) { $0 >= first }
    }
}
