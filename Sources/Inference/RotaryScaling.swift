// SPDX-License-Identifier: Apache-2.0
import ModelFiles

/// How rotary frequencies are changed for contexts longer than those of the first training.
public enum RotaryScaling: Sendable, Equatable {
    /// Not at all. (Llama 3.1's scaling comes as a tensor of factors, whatever this says.)
    case none
    /// Positions are divided by a factor (Chen et al., arXiv 2306.15595).
    case linear(factor: Float)
    /// Low frequencies are divided, high ones stay, with a ramp between (Peng et al., arXiv 2309.00071, section 3.2).
    case yarn(YaRN)

    /// The parameters of YaRN.
    public struct YaRN: Sendable, Equatable {
        /// By what low frequencies are divided.
        public let factor: Float
        /// Tokens of the context before scaling.
        public let originalContext: Int
        /// Turns within the original context from which a frequency stays.
        public let betaFast: Float
        /// Turns within the original context below which a frequency is wholly divided.
        public let betaSlow: Float
        /// What cosines and sines are multiplied by, which scales attention's logits by its square.
        public let attention: Float
    }

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
                    attention: try number("attn_factor", 1) * (factor > 1 ? 0.1 * logarithm(factor) + 1 : 1)))
        case let other: throw InferenceError.unsupportedFeature("RoPE scaling of type \"\(other)\"")
        }
    }
}
