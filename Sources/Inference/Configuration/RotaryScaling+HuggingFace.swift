// SPDX-License-Identifier: Apache-2.0
import ModelFiles

extension RotaryScaling {
    /// The object of `config.json` that describes the rotary embedding: `rope_parameters`, or `rope_scaling` in older files.
    static func parameters(_ config: ConfigurationKeys) -> ConfigurationKeys {
        for key in ["rope_parameters", "rope_scaling"] {
            if let value = config.value(key) { return ConfigurationKeys(value, prefix: key + ".") }
        }
        return ConfigurationKeys(.object([]))
    }

    /// Reads the scaling that `config.json` asks for.
    init(config: ConfigurationKeys, contextLength: Int) throws(InferenceError) {
        let keys = Self.parameters(config)
        guard let members = keys.object.members, !members.contains(where: { $0.value.members != nil }) else {
            throw .unsupportedFeature("rotary embeddings that differ from layer to layer")
        }
        guard try keys.number("partial_rotary_factor", 0...1, default: 1) == 1 else {
            throw .unsupportedFeature("a rotary embedding of a part of each head")
        }
        // Older files call it `type`.
        switch try keys.text("rope_type", default: keys.text("type", default: "default")) {
        case "default": self = .none
        case "linear": self = .linear(factor: try keys.number("factor", 1...1e6))
        case "llama3": self = .llama3(try Llama3(keys, contextLength: contextLength))
        case "yarn": self = .yarn(try YaRN(keys, contextLength: contextLength))
        case let other: throw .unsupportedFeature("RoPE scaling of type \"\(other)\"")
        }
    }
}

extension RotaryScaling.Llama3 {
    fileprivate init(_ keys: ConfigurationKeys, contextLength: Int) throws(InferenceError) {
        factor = try keys.number("factor", 1...1e6)
        lowFrequency = try keys.number("low_freq_factor", 1e-6...1e6)
        highFrequency = try keys.number("high_freq_factor", 1e-6...1e6)
        originalContext = try keys.int("original_max_position_embeddings", 1...(1 << 24), default: contextLength)
        guard highFrequency > lowFrequency else {
            throw keys.invalid("high_freq_factor", "it is not above low_freq_factor")
        }
    }
}

extension RotaryScaling.YaRN {
    fileprivate init(_ keys: ConfigurationKeys, contextLength: Int) throws(InferenceError) {
        guard try keys.bool("truncate", default: true) else {
            throw .unsupportedFeature("YaRN whose ramp is not cut at whole pairs (truncate)")
        }
        originalContext = try keys.int("original_max_position_embeddings", 1...(1 << 24), default: contextLength)
        factor = try keys.number("factor", 1...1e6, default: max(1, Float(contextLength) / Float(originalContext)))
        betaFast = try keys.number("beta_fast", 1e-6...1e6, default: 32)
        betaSlow = try keys.number("beta_slow", 1e-6...1e6, default: 1)
        let scale = try keys.number("mscale", 0...1e6, default: 0)
        let scaleAll = try keys.number("mscale_all_dim", 0...1e6, default: 0)
        let advised =
            scale > 0 && scaleAll > 0
            ? Self.attention(factor: factor, scale: scale) / Self.attention(factor: factor, scale: scaleAll)
            : Self.attention(factor: factor)
        attention = try keys.number("attention_factor", 1e-6...1e6, default: advised)
    }
}
