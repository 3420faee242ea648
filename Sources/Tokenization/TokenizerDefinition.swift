// SPDX-License-Identifier: Apache-2.0
import ModelFiles

/// What a model's files say about its tokenizer, whatever their format.
struct TokenizerDefinition {
    /// How text becomes tokens.
    enum Method {
        /// Byte-level BPE; `wholeWords`: a word that is a token is taken as it is; `composes`: text is put in NFC first.
        case byteLevel(PreTokenizer, wholeWords: Bool, composes: Bool)
        /// SentencePiece BPE.
        case sentencePiece(AddedSpace)
    }

    /// Where SentencePiece puts a space in front of text.
    enum AddedSpace {
        case nowhere
        /// At the beginning of a prompt that does not begin with a control token, unless there is one.
        case atBeginningUnlessThere
        /// At the beginning and after each control token, unless there is one.
        case everywhereUnlessThere
        /// At the beginning and after each control token.
        case everywhere
    }

    /// In which order pairs of tokens merge.
    enum Order {
        /// As listed, two texts each.
        case listed([(Substring, Substring)])
        /// By the score of what they become, one for each token.
        case scored([Float])
    }

    /// The file, for messages.
    let path: String
    let method: Method
    let tokens: [(text: String, kind: Vocabulary.Kind)]
    let order: Order
    /// What is special about the text around control tokens.
    let bounds: [TokenID: TokenBounds]
    /// The token that stands in front of text without a template.
    let beginning: TokenID?
    /// Tokens that end a text, beside those known by their names.
    let ends: [TokenID]

    var spelling: Vocabulary.Spelling {
        if case .byteLevel = method { .byteLevel } else { .sentencePiece }
    }

    func malformed(_ sentence: String) -> TokenizerError { .malformedVocabulary(path: path, sentence) }
}
