// SPDX-License-Identifier: Apache-2.0

import Tokenization

/// One prompt to be continued.
public struct GenerationRequest: Sendable {
    /// The prompt's tokens, control tokens included.
    public var prompt: [TokenID]
    /// The most tokens to generate. Output also ends where the model's context is full.
    public var maxTokens: Int
    /// How tokens are chosen.
    public var sampling: SamplingParameters
    /// Texts that end the output; the text found is not part of it.
    public var stopStrings: [String]
    /// Goes on after an end-of-text token, for measurements.
    public var ignoresEndOfText: Bool

    /// Makes a request.
    public init(
        prompt: [TokenID], maxTokens: Int, sampling: SamplingParameters = .greedy, stopStrings: [String] = [],
        ignoresEndOfText: Bool = false
    ) {
        self.prompt = prompt
        self.maxTokens = maxTokens
        self.sampling = sampling
        self.stopStrings = stopStrings
        self.ignoresEndOfText = ignoresEndOfText
    }
}

/// Why an output ended.
public enum FinishReason: String, Sendable {
    /// The model ended its text, or a stop string was found.
    case stop
    /// The token limit was reached or the context was full.
    case length
}

/// The continuation of a prompt and what it cost.
public struct Generation: Sendable {
    /// The tokens generated, without the end-of-text token.
    public var tokens: [TokenID]
    /// The text of ``tokens``, cut before a stop string.
    public var text: String
    /// Why the output ended.
    public var finishReason: FinishReason
    /// The number of prompt tokens.
    public var promptTokens: Int
    /// The number of tokens generated, the end-of-text token included: each cost one step.
    public var outputTokens: Int
    /// This request's share of the engine's time spent on prompts, in seconds, by rows of the batch.
    public var prefillSeconds: Double
    /// This request's share of the engine's time spent on generated tokens, in seconds, by rows of the batch.
    public var decodeSeconds: Double
}

/// How far a running request has come.
public struct GenerationProgress: Sendable, Equatable {
    /// Prompt tokens whose keys and values are in the cache.
    public var promptTokens: Int
    /// Tokens generated.
    public var outputTokens: Int
}
