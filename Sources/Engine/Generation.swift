// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Tokenization

/// One output of a request.
public struct GenerationChoice: Sendable, Equatable {
    /// The tokens generated, without the one that ended the output.
    public var tokens: [TokenID]
    /// The text of ``tokens``, cut before a stop string.
    public var text: String
    /// Why the output ended.
    public var finishReason: FinishReason
    /// Log-probabilities of ``tokens``, one for each, where they were asked for.
    public var logprobs: [TokenLogprobs]?
}

/// What a step adds to a request's first output.
public struct GenerationPiece: Sendable, Equatable {
    /// The token generated; nil once the output has ended.
    public var token: TokenID?
    /// The text that is certain now; may be empty, and belong to tokens before.
    public var text: String
}

/// The continuations of a prompt and what they cost.
public struct Generation: Sendable {
    /// The outputs, as many as samples were asked for.
    public var choices: [GenerationChoice]
    /// The number of prompt tokens.
    public var promptTokens: Int
    /// Of these, tokens that were not computed for this request but found in memory or in the store.
    public var cachedTokens: Int
    /// Seconds that these had cost when they were computed.
    public var secondsSaved: Double
    /// Why the first part of the prompt that might have been found was not; nil where all was found, or nothing was looked for.
    public var miss: CacheMiss?
    /// The number of tokens generated in all outputs, those that ended them included: each cost one step.
    public var outputTokens: Int
    /// Of these, tokens that an attempt before had generated.
    public var resumedTokens: Int
    /// This request's share of the engine's time spent on prompts and on resumed tokens, in seconds, by rows of the batch.
    public var prefillSeconds: Double
    /// This request's share of the engine's time spent on generated tokens, in seconds, by rows of the batch.
    public var decodeSeconds: Double

    /// The first output's tokens.
    public var tokens: [TokenID] { choices[0].tokens }
    /// The first output's text.
    public var text: String { choices[0].text }
    /// Why the first output ended.
    public var finishReason: FinishReason { choices[0].finishReason }

    /// Adds another sample's outputs and cost.
    mutating func add(_ other: Generation) {
        choices += other.choices
        outputTokens += other.outputTokens
        prefillSeconds += other.prefillSeconds
        decodeSeconds += other.decodeSeconds
    }
}
