// SPDX-License-Identifier: Apache-2.0

/// Why something cannot be evaluated.
public enum EvaluationError: Error, Equatable, CustomStringConvertible {
    /// A text has fewer tokens than are needed.
    case textTooShort(name: String, tokens: Int, needed: Int)
    /// The histories and what is scored after them do not fit the model's context.
    case contextTooShort(needed: Int, limit: Int)
    /// There is no policy of that name.
    case unknownPolicy(String)
    /// A policy's compressor has no codec of the model's shape for a layer.
    case unfitCompressor(policy: String, layer: Int)
    /// A line of a data file cannot be used; the text says why.
    case invalidRecord(file: String, line: Int, reason: String)

    /// What is wrong and what to do next, in a sentence.
    public var description: String {
        switch self {
        case .textTooShort(let name, let tokens, let needed):
            "The text \(name) has \(tokens) tokens, but \(needed) are needed: give a longer text or shorter histories."
        case .contextTooShort(let needed, let limit):
            "The longest history and the tokens scored after it take \(needed) positions, but the model's context has "
                + "\(limit): choose less."
        case .unknownPolicy(let name):
            "There is no policy \"\(name)\"; choose from: \(PolicyChoice.summary)."
        case .unfitCompressor(let policy, let layer):
            "The compressor of \(policy) has no codec for layer \(layer) of this model: make one with 'deltakv calibrate'."
        case .invalidRecord(let file, let line, let reason): "\(file), line \(line): \(reason)."
        }
    }
}
