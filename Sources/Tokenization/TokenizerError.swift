// SPDX-License-Identifier: Apache-2.0

/// Why a tokenizer or chat template cannot be made from a model file, or a prompt cannot be encoded.
public enum TokenizerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file's tokenizer is of another kind than byte-level or SentencePiece BPE.
    case unsupportedModel(path: String, model: String)
    /// The file names a pre-tokenizer that is not known.
    case unsupportedPreTokenizer(path: String, name: String)
    /// The vocabulary or the merges contradict themselves; carries the sentence that says how.
    case malformedVocabulary(path: String, String)
    /// A prompt uses a control token that the vocabulary does not have.
    case unknownControlToken(String)
    /// The file has no chat template.
    case missingChatTemplate(path: String)
    /// The file's chat template is not one that can be rendered.
    case unsupportedChatTemplate(path: String, reason: String)
    /// The file's chat template refuses a conversation, or takes too long for it.
    case chatTemplateFailed(path: String, reason: String)

    /// What was wrong, where, and what to do next.
    public var description: String {
        switch self {
        case .unsupportedModel(let path, let model):
            "\(path): the tokenizer is of the kind “\(model)”; use a model with byte-level BPE (“gpt2”) or "
                + "SentencePiece BPE (“llama”)"
        case .unsupportedPreTokenizer(let path, let name):
            "\(path): the pre-tokenizer “\(name)” is not supported; use a model with one of "
                + PreTokenizer.allCases.map(\.rawValue).joined(separator: ", ")
        case .malformedVocabulary(let path, let sentence):
            "\(path): \(sentence); the file is damaged or was converted wrongly, fetch or convert it again"
        case .unknownControlToken(let name):
            "the vocabulary has no control token “\(name)”; use a prompt template made for this model"
        case .missingChatTemplate(let path):
            "\(path): the model has no chat template, which jobs need; 'generate --raw' takes prompts as they are"
        case .unsupportedChatTemplate(let path, let reason):
            "\(path): the model's chat template cannot be read: \(reason); 'generate --raw' takes prompts as they are"
        case .chatTemplateFailed(let path, let reason):
            "\(path): \(reason); write the messages as the model's template expects them"
        }
    }
}
