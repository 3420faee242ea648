// SPDX-License-Identifier: Apache-2.0

import Tokenization

/// How the next token is chosen from the logits; names, ranges and order are those of vLLM.
///
/// The defaults are greedy decoding. In order: the bias is added; penalties change the logits of tokens seen; with a
/// temperature above zero a token is drawn from the softmax of the logits divided by the temperature, cut to tokens at
/// least `minP` times as likely as the likeliest, then to the `topK` likeliest, then to the smallest set of tokens whose
/// probabilities reach `topP`.
public struct SamplingParameters: Sendable, Equatable {
    /// Divides the logits; 0 means greedy decoding.
    public var temperature: Float
    /// How many of the likeliest tokens stay in the draw; 0 means all.
    public var topK: Int
    /// The share of probability that stays in the draw, in (0, 1].
    public var topP: Float
    /// How likely a token in the draw must be, as a share of the likeliest one's probability, in [0, 1].
    public var minP: Float
    /// Divides positive logits, and multiplies negative ones, of tokens in prompt or output; above 0, 1 changes nothing.
    public var repetitionPenalty: Float
    /// Is taken from the logits of tokens in the output, in [-2, 2].
    public var presencePenalty: Float
    /// Is taken from the logits of tokens in the output once for each time, in [-2, 2].
    public var frequencyPenalty: Float
    /// Is added to the logits of tokens, each in [-100, 100].
    public var logitBias: [TokenID: Float]
    /// Starts the draw's random numbers. The same request with the same seed gives the same text.
    public var seed: UInt64

    /// Greedy decoding.
    public static let greedy = SamplingParameters()

    /// Makes parameters; see ``validate()`` for the ranges.
    public init(
        temperature: Float = 0, topK: Int = 0, topP: Float = 1, minP: Float = 0, repetitionPenalty: Float = 1,
        presencePenalty: Float = 0, frequencyPenalty: Float = 0, logitBias: [TokenID: Float] = [:], seed: UInt64 = 0
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.presencePenalty = presencePenalty
        self.frequencyPenalty = frequencyPenalty
        self.logitBias = logitBias
        self.seed = seed
    }

    /// Checks the ranges.
    ///
    /// - Throws: ``GenerationError/invalidOption(_:)`` that names the first value out of range.
    public func validate() throws(GenerationError) {
        // Comparisons are false for what is not a number.
        guard temperature >= 0, temperature <= 100 else {
            throw .invalidOption("temperature must be between 0 and 100, not \(temperature)")
        }
        guard topK >= 0 else { throw .invalidOption("top_k must be 0 (all tokens) or more, not \(topK)") }
        guard topP > 0, topP <= 1 else { throw .invalidOption("top_p must be above 0 and at most 1, not \(topP)") }
        guard minP >= 0, minP <= 1 else { throw .invalidOption("min_p must be between 0 and 1, not \(minP)") }
        guard repetitionPenalty > 0, repetitionPenalty <= 10 else {
            throw .invalidOption("repetition_penalty must be above 0 and at most 10, not \(repetitionPenalty)")
        }
        guard presencePenalty >= -2, presencePenalty <= 2 else {
            throw .invalidOption("presence_penalty must be between -2 and 2, not \(presencePenalty)")
        }
        guard frequencyPenalty >= -2, frequencyPenalty <= 2 else {
            throw .invalidOption("frequency_penalty must be between -2 and 2, not \(frequencyPenalty)")
        }
        guard logitBias.count <= 1024, logitBias.values.allSatisfy({ $0 >= -100 && $0 <= 100 }) else {
            throw .invalidOption("logit_bias takes at most 1,024 tokens with values between -100 and 100")
        }
    }

    /// Whether logits are used as the model gives them.
    var keepsLogits: Bool {
        repetitionPenalty == 1 && presencePenalty == 0 && frequencyPenalty == 0 && logitBias.isEmpty
    }
}
