// SPDX-License-Identifier: Apache-2.0
import ModelFiles

extension RotaryScaling {
    /// Reads the keys `ARCHITECTURE.rope.scaling.…`; like llama.cpp takes a factor without a type for linear.
    init(_ keys: GGUFMetadata, architecture: String) throws {
        let prefix = architecture + ".rope.scaling."
        func number(_ name: String, _ fallback: Float) throws -> Float {
            let value = try keys.floatIfPresent(prefix + name) ?? fallback
            guard value >= 0, value <= 1e6 else {
                throw InferenceError.invalidConfiguration(
                    key: prefix + name, reason: "\(value) is not between 0 and 1,000,000")
            }
            return value
        }
        let older = try keys.floatIfPresent(architecture + ".rope.scale_linear") ?? 0
        let stored = try number("factor", older.isFinite ? max(0, min(1e6, older)) : .nan)
        // 0 stands for none.
        let factor = stored == 0 ? 1 : stored
        switch try keys.stringIfPresent(prefix + "type") ?? "linear" {
        case "none": self = .none
        case "linear": self = factor == 1 ? .none : .linear(factor: factor)
        case "yarn":
            let context = try keys.int(prefix + "original_context_length")
            guard (1...(1 << 24)).contains(context) else {
                throw InferenceError.invalidConfiguration(
                    key: prefix + "original_context_length", reason: "\(context) is not between 1 and 2^24")
            }
            guard try number("yarn_ext_factor", 1) == 1, try number("yarn_log_multiplier", 0) == 0,
                try number("yarn_attn_factor", 1) == 1
            else {
                throw InferenceError.unsupportedFeature("YaRN with other factors than the paper's")
            }
            self = .yarn(
                YaRN(
                    factor: factor, originalContext: context,
                    betaFast: try number("yarn_beta_fast", 32), betaSlow: try number("yarn_beta_slow", 1),
                    attention: try number("attn_factor", 1) * YaRN.attention(factor: factor)))
        case let other: throw InferenceError.unsupportedFeature("RoPE scaling of type \"\(other)\"")
        }
    }
}
