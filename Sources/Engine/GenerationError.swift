// SPDX-License-Identifier: Apache-2.0

/// Why a request could not be run.
public enum GenerationError: Error, Equatable, CustomStringConvertible {
    /// The prompt holds no token.
    case emptyPrompt
    /// The prompt leaves no room for an output token in the model's context.
    case promptTooLong(tokens: Int, limit: Int)
    /// The KV cache cannot hold the request even alone.
    case exceedsMemory(tokens: Int, limit: Int)
    /// A token of the prompt is not in the vocabulary.
    case invalidToken(TokenValue)
    /// A parameter is out of range; the text says which and why.
    case invalidOption(String)
    /// The model computed values that are not numbers.
    case numericalFailure
    /// The forward pass failed; the text says why.
    case modelFailure(String)
    /// The engine was stopped before the request was done.
    case engineStopped

    /// The integer type of a token id, as in `Tokenization.TokenID`.
    public typealias TokenValue = Int32

    /// What is wrong and what to do, in a sentence.
    public var description: String {
        switch self {
        case .emptyPrompt: "the prompt is empty: give it at least one token"
        case .promptTooLong(let tokens, let limit):
            "the prompt has \(tokens) tokens and the model takes at most \(limit) with one token of output: shorten it"
        case .exceedsMemory(let tokens, let limit):
            "the request needs KV cache for \(tokens) tokens and there is memory for \(limit): raise kv.memory or "
                + "lower max_tokens"
        case .invalidToken(let token): "token \(token) is not in the model's vocabulary"
        case .invalidOption(let reason): reason
        case .numericalFailure:
            "the model computed values that are not numbers: check the model file with 'deltakv model verify'"
        case .modelFailure(let reason): "the forward pass failed: \(reason)"
        case .engineStopped: "the engine was stopped before the request was done"
        }
    }
}
