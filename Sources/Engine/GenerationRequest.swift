// SPDX-License-Identifier: Apache-2.0

import StructuredOutput
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
    /// Tokens that end the output, beside the model's own; they are not part of it.
    public var stopTokens: Set<TokenID>
    /// The least number of tokens: before, nothing that would end the output does.
    public var minTokens: Int
    /// How many of the likeliest tokens to name with their log-probabilities at each place, 0 for the chosen alone; nil for
    /// no log-probabilities. At most 20.
    public var logprobs: Int?
    /// How many outputs to generate, 1 to 128. They share the prompt's keys and values; the i-th is what the request
    /// would give alone with `seed + i`.
    public var samples: Int
    /// What the output must be, such as JSON by a schema.
    public var constraint: JSONConstraint?
    /// Goes on after an end-of-text token, for measurements.
    public var ignoresEndOfText: Bool
    /// Whose prompt it is: segments of it are reused under the same salt only.
    public var cacheSalt: [UInt8]
    /// The beginning of the output, where an attempt before this one came so far: it is computed with the prompt and not chosen
    /// again, and what follows is what would have followed. For one sample without log-probabilities.
    public var resumed: [TokenID]

    /// Makes a request.
    public init(
        prompt: [TokenID], maxTokens: Int, sampling: SamplingParameters = .greedy, stopStrings: [String] = [],
        stopTokens: Set<TokenID> = [], minTokens: Int = 0, logprobs: Int? = nil, samples: Int = 1,
        constraint: JSONConstraint? = nil, ignoresEndOfText: Bool = false, cacheSalt: [UInt8] = [],
        resumed: [TokenID] = []
    ) {
        self.prompt = prompt
        self.maxTokens = maxTokens
        self.sampling = sampling
        self.stopStrings = stopStrings
        self.stopTokens = stopTokens
        self.minTokens = minTokens
        self.logprobs = logprobs
        self.samples = samples
        self.constraint = constraint
        self.ignoresEndOfText = ignoresEndOfText
        self.cacheSalt = cacheSalt
        self.resumed = resumed
    }
}

/// Why an output ended.
public enum FinishReason: String, Sendable {
    /// The model ended its text, a stop string or token was found, or the constraint left nothing to add.
    case stop
    /// The token limit was reached or the context was full.
    case length
}

/// How far a running request has come.
public struct GenerationProgress: Sendable, Equatable {
    /// Prompt tokens whose keys and values are in the cache.
    public var promptTokens: Int
    /// Tokens generated.
    public var outputTokens: Int
}

extension GenerationRequest {
    /// Checks what the request asks of its output.
    ///
    /// - Parameters:
    ///   - limit: The most tokens that there is room for.
    ///   - vocabulary: The model's tokens.
    /// - Throws: ``GenerationError/invalidOption(_:)`` that names the first value out of range.
    func checkOutput(limit: Int, vocabulary: Int) throws(GenerationError) {
        guard (1...128).contains(samples) else { throw .invalidOption("n must be between 1 and 128, not \(samples)") }
        guard 0...maxTokens ~= minTokens else {
            throw .invalidOption("min_tokens must be between 0 and max_tokens, not \(minTokens)")
        }
        if let logprobs, !(0...20).contains(logprobs) {
            throw .invalidOption("logprobs must be between 0 and 20, not \(logprobs)")
        }
        for token in stopTokens.union(sampling.logitBias.keys) where !(0..<vocabulary).contains(Int(token)) {
            throw .invalidOption("token \(token) is not in the model's vocabulary, which has \(vocabulary)")
        }
        guard resumed.isEmpty || samples == 1 && logprobs == nil else {
            throw .invalidOption("an output with n or logprobs cannot be resumed")
        }
        guard let constraint else { return }
        guard stopStrings.isEmpty, stopTokens.isEmpty else {
            throw .invalidOption("stop and stop_token_ids would cut JSON short: leave them out with json_schema")
        }
        guard constraint.minimumTokens <= limit else {
            throw .invalidOption(
                "there is room for \(limit) tokens of output and the shortest JSON of the schema takes "
                    + "\(constraint.minimumTokens): raise max_tokens")
        }
    }
}
