// SPDX-License-Identifier: Apache-2.0

/// Why something cannot be evaluated.
public enum EvaluationError: Error, Equatable, CustomStringConvertible {
    /// A text has fewer tokens than are needed.
    case textTooShort(name: String, tokens: Int, needed: Int)
    /// The histories and what is scored after them do not fit the model's context.
    case contextTooShort(needed: Int, limit: Int)
    /// There is no policy of that name.
    case unknownPolicy(String)
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
            "There is no policy \"\(name)\"; choose from: \(PolicyCatalogue.summary)."
        case .invalidRecord(let file, let line, let reason): "\(file), line \(line): \(reason)."
        }
    }
}
