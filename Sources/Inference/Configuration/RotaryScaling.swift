// SPDX-License-Identifier: Apache-2.0

/// How rotary frequencies are changed for contexts longer than those of the first training.
public enum RotaryScaling: Sendable, Equatable {
    /// Not at all. (In GGUF files Llama 3.1's scaling comes as a tensor of factors, whatever this says.)
    case none
    /// Positions are divided by a factor (Chen et al., arXiv 2306.15595).
    case linear(factor: Float)
    /// Low frequencies are divided, high ones stay, with a ramp between (Peng et al., arXiv 2309.00071, section 3.2).
    case yarn(YaRN)
    /// Low frequencies are divided, high ones stay, by their wavelengths (Llama 3.1's model card and configuration).
    case llama3(Llama3)

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

        /// What the paper advises to multiply cosines and sines by.
        static func attention(factor: Float, scale: Float = 1) -> Float {
            factor > 1 ? 0.1 * scale * logarithm(factor) + 1 : 1
        }
    }

    /// The parameters of Llama 3.1's scaling.
    public struct Llama3: Sendable, Equatable {
        /// By what low frequencies are divided.
        public let factor: Float
        /// Turns within the original context below which a frequency is wholly divided.
        public let lowFrequency: Float
        /// Turns within the original context from which a frequency stays.
        public let highFrequency: Float
        /// Tokens of the context before scaling.
        public let originalContext: Int
    }

    /// Tokens of the longest context, of a model whose files say `trained`: they may name the context before YaRN.
    func contextLength(trained: Int) -> Int {
        guard case .yarn(let yarn) = self else { return trained }
        return max(trained, Int(min(Float(1 << 24), yarn.factor * Float(yarn.originalContext))))
    }
}
