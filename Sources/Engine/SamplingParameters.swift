// SPDX-License-Identifier: Apache-2.0

/// How the next token is chosen from the logits.
///
/// The defaults are greedy decoding. With a temperature above zero a token is drawn from the softmax of the logits
/// divided by the temperature, cut first to the `topK` likeliest tokens, then to the smallest set of tokens whose
/// probabilities reach `topP`.
public struct SamplingParameters: Sendable, Equatable {
    /// Divides the logits; 0 means greedy decoding.
    public var temperature: Float
    /// How many of the likeliest tokens stay in the draw; 0 means all.
    public var topK: Int
    /// The share of probability that stays in the draw, in (0, 1].
    public var topP: Float
    /// Starts the draw's random numbers. The same request with the same seed gives the same text.
    public var seed: UInt64

    /// Greedy decoding.
    public static let greedy = SamplingParameters()

    /// Makes parameters; see ``validate()`` for the ranges.
    public init(temperature: Float = 0, topK: Int = 0, topP: Float = 1, seed: UInt64 = 0) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.seed = seed
    }

    /// Checks the ranges.
    ///
    /// - Throws: ``GenerationError/invalidOption(_:)`` that names the first value out of range.
    public func validate() throws(GenerationError) {
        guard temperature.isFinite, (0...100).contains(temperature) else {
            throw .invalidOption("temperature must be between 0 and 100, not \(temperature)")
        }
        guard topK >= 0 else { throw .invalidOption("top_k must be 0 (all tokens) or more, not \(topK)") }
        guard topP.isFinite, topP > 0, topP <= 1 else {
            throw .invalidOption("top_p must be above 0 and at most 1, not \(topP)")
        }
    }
}
