// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles

/// The number of a token in a vocabulary.
public typealias TokenID = Int32

/// A tokenizer as a model's files describe it: byte-level BPE or SentencePiece BPE.
///
/// Text never becomes a control token, whatever it contains: those come only from ``PromptPiece/control(_:)``.
/// `decode(encode(text))` gives back the bytes of any text, except for bytes that the vocabulary cannot express
/// (``unrepresentableBytes``), which are dropped, as the reference tokenizer does. To SentencePiece, U+2581 is a space;
/// qwen2's texts come back in normalisation form C.
public struct Tokenizer: Sendable {
    /// The tokens at which generation ends: end of text, end of turn and the like.
    public let endOfGeneration: Set<TokenID>
    /// The token that the model expects before text without a template, nil where it expects none.
    public let beginningOfText: TokenID?
    /// The bytes for which the vocabulary has no token. Empty for most models; the default model lacks a few control
    /// characters and the bytes of planes that Unicode does not use.
    public let unrepresentableBytes: Set<UInt8>

    let vocabulary: Vocabulary
    private let encoder: Encoder
    private let controlTokenFinder: ControlTokenFinder

    /// The kinds of tokenizer.
    private enum Encoder: Sendable {
        case byteLevel(ByteLevelEncoder)
        case sentencePiece(SentencePieceEncoder)

        var merges: MergeTable {
            switch self {
            case .byteLevel(let encoder): encoder.merges
            case .sentencePiece(let encoder): encoder.merges
            }
        }
    }

    /// Reads the tokenizer of a model in either form.
    ///
    /// - Throws: `TokenizerError` where it is of an unknown kind or contradicts itself, `GGUFError` where it is missing.
    public init(_ model: ModelFile) throws {
        switch model {
        case .gguf(let file): try self.init(file: file)
        case .folder(let folder): try self.init(folder: folder)
        }
    }

    /// Reads the tokenizer of a GGUF file.
    ///
    /// - Throws: `TokenizerError` where it is of an unknown kind or contradicts itself, `GGUFError` where keys are absent.
    public init(file: GGUFFile) throws { try self.init(TokenizerDefinition(file: file)) }

    /// Reads `tokenizer.json` of a folder.
    ///
    /// - Throws: `TokenizerError` where it is of an unknown kind or contradicts itself, `GGUFError` where it is no JSON.
    public init(folder: HuggingFaceFolder) throws { try self.init(TokenizerDefinition(folder: folder)) }

    private init(_ definition: TokenizerDefinition) throws {
        let vocabulary = try Vocabulary(definition)
        let merges = try MergeTable(definition, vocabulary: vocabulary)
        switch definition.method {
        case .byteLevel(let family, let wholeWords, let composes):
            let byteLevel = ByteLevelEncoder(
                preTokenizer: family, takesWholeWords: wholeWords, composes: composes, merges: merges,
                vocabulary: vocabulary)
            unrepresentableBytes = Set((UInt8.min...UInt8.max).filter { byteLevel.byteTokens[Int($0)] < 0 })
            encoder = .byteLevel(byteLevel)
        case .sentencePiece(let addedSpace):
            guard let bytes = vocabulary.byteTokens else {
                throw definition.malformed("there is not a token for each byte")
            }
            encoder = .sentencePiece(
                SentencePieceEncoder(
                    addedSpace: addedSpace, byteTokens: bytes, merges: merges, vocabulary: vocabulary))
            unrepresentableBytes = []
        }
        endOfGeneration = Set(Self.endNames.compactMap { vocabulary.controlTokens[$0] } + definition.ends)
        beginningOfText = definition.beginning
        controlTokenFinder = ControlTokenFinder(vocabulary.controlTokens, bounds: definition.bounds)
        self.vocabulary = vocabulary
    }

    /// The number of tokens; ids are below it.
    public var vocabularyCount: Int { vocabulary.count }

    /// The control token of a name such as `<|im_end|>`, nil where the vocabulary has none.
    public func controlToken(named name: String) -> TokenID? { vocabulary.controlTokens[name] }

    /// The tokens of a text. No control token is among them, and none is added in front.
    public func encode(_ text: String) -> [TokenID] {
        var merger = WordMerger(merges: encoder.merges)
        var tokens: [TokenID] = []
        encode(text, isFirst: true, with: &merger, into: &tokens)
        return tokens
    }

    /// The tokens of a prompt. Neighbouring texts are joined before they are split into words; white space goes to a control token
    /// beside it where the token's makers say so.
    ///
    /// - Throws: `TokenizerError.unknownControlToken`.
    public func encode(_ pieces: [PromptPiece]) throws -> [TokenID] {
        var merger = WordMerger(merges: encoder.merges)
        var tokens: [TokenID] = []
        controlTokenFinder.forEachPart(
            of: try JoinedPrompt(pieces, vocabulary.controlTokens),
            text: { text in
                let isFirst = tokens.isEmpty
                encode(String(decoding: text, as: UTF8.self), isFirst: isFirst, with: &merger, into: &tokens)
            }, token: { tokens.append($0) })
        return tokens
    }

    /// The text of tokens. Control tokens stand for no text; bytes that are not UTF-8 become U+FFFD.
    public func decode(_ tokens: some Sequence<TokenID>) -> String {
        var bytes: [UInt8] = []
        for token in tokens { bytes += vocabulary.bytes(of: token) }
        return String(decoding: bytes.dropFirst(addedSpaces(bytes.first)), as: UTF8.self)
    }

    /// The bytes that a token stands for: none for control tokens and ids outside the vocabulary.
    public func bytes(of token: TokenID) -> [UInt8] { Array(vocabulary.bytes(of: token)) }
}

extension Tokenizer {
    private func encode(_ text: String, isFirst: Bool, with merger: inout WordMerger, into tokens: inout [TokenID]) {
        var text = text
        if case .byteLevel(let encoder) = encoder, encoder.composes {
            text = text.precomposedStringWithCanonicalMapping
        }
        tokens.reserveCapacity(tokens.count + text.utf8.count / 4)
        text.withUTF8 { utf8 in
            switch encoder {
            case .byteLevel(let encoder):
                encoder.encode(utf8, vocabulary: vocabulary, with: &merger, into: &tokens)
            case .sentencePiece(let encoder):
                encoder.encode(utf8, isFirst: isFirst, vocabulary: vocabulary, with: &merger, into: &tokens)
            }
        }
    }

    /// How many bytes of a text's beginning only encoding has put there: 1 where it is the space of SentencePiece, else 0.
    func addedSpaces(_ first: UInt8?) -> Int {
        guard case .sentencePiece(let encoder) = encoder, encoder.addedSpace != .nowhere else { return 0 }
        return first == UInt8(ascii: " ") ? 1 : 0
    }

    /// Names under which models end a text, a turn or a message; files seldom list all of a model's.
    private static let endNames = [
        "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "</s>",
    ]
}
