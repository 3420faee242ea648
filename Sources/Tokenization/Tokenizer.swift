// SPDX-License-Identifier: Apache-2.0
import ModelFiles

/// The number of a token in a vocabulary.
public typealias TokenID = Int32

/// A byte-level BPE tokenizer as a GGUF file describes it.
///
/// Text never becomes a control token, whatever it contains: those come only from ``PromptPiece/control(_:)``.
/// `decode(encode(text))` gives back the bytes of any text, except for bytes that the vocabulary cannot express
/// (``unrepresentableBytes``), which are dropped, as the reference tokenizer does.
public struct Tokenizer: Sendable {
    /// The tokens at which generation ends: end of text, end of turn and the like.
    public let endOfGeneration: Set<TokenID>
    /// The token that the model expects before text without a template, nil where it expects none.
    public let beginningOfText: TokenID?
    /// The bytes for which the vocabulary has no token. Empty for most models; the default model lacks a few control
    /// characters and the bytes of planes that Unicode does not use.
    public let unrepresentableBytes: Set<UInt8>

    let vocabulary: Vocabulary
    private let preTokenizer: PreTokenizer
    private let merges: MergeTable
    /// The token of each byte, negative where there is none.
    private let byteTokens: [TokenID]
    /// Whether the bytes of a token, taken as a word, are merged into just that token. Most words of a text are such,
    /// and need no merging.
    private let isWholeWord: [Bool]

    /// Reads the tokenizer of a model file.
    ///
    /// - Throws: `TokenizerError` where it is of an unknown kind or contradicts itself, `GGUFError` where keys are absent.
    public init(file: GGUFFile) throws {
        let metadata = file.metadata
        let model = try metadata.string("tokenizer.ggml.model")
        guard model == "gpt2" else { throw TokenizerError.unsupportedModel(path: file.path, model: model) }
        let name = try metadata.string("tokenizer.ggml.pre")
        guard let preTokenizer = PreTokenizer(rawValue: name) else {
            throw TokenizerError.unsupportedPreTokenizer(path: file.path, name: name)
        }
        let vocabulary = try Vocabulary(file: file)
        let merges = try MergeTable(file: file, vocabulary: vocabulary)
        let byteTokens = (UInt8.min...UInt8.max).map { byte in withUnsafeBytes(of: byte, vocabulary.word) ?? -1 }
        self.preTokenizer = preTokenizer
        self.vocabulary = vocabulary
        self.merges = merges
        self.byteTokens = byteTokens
        unrepresentableBytes = Set((UInt8.min...UInt8.max).filter { byteTokens[Int($0)] < 0 })
        isWholeWord = Self.wholeWords(vocabulary, merges, byteTokens, all: preTokenizer.takesWholeWords)
        endOfGeneration = try Self.endOfGeneration(file, vocabulary)
        beginningOfText = try Self.beginningOfText(file, vocabulary, addedUnlessSaid: preTokenizer == .llamaBPE)
    }

    /// The number of tokens; ids are below it.
    public var vocabularyCount: Int { vocabulary.count }

    /// The control token of a name such as `<|im_end|>`, nil where the vocabulary has none.
    public func controlToken(named name: String) -> TokenID? { vocabulary.controlTokens[name] }

    /// The tokens of a text. No control token is among them, and none is added in front.
    public func encode(_ text: String) -> [TokenID] {
        var merger = WordMerger(merges: merges)
        var tokens: [TokenID] = []
        encode(text, with: &merger, into: &tokens)
        return tokens
    }

    /// The tokens of a prompt. Neighbouring texts are joined before they are split into words.
    ///
    /// - Throws: `TokenizerError.unknownControlToken`.
    public func encode(_ pieces: [PromptPiece]) throws -> [TokenID] {
        var merger = WordMerger(merges: merges)
        var tokens: [TokenID] = []
        var text = ""
        for piece in pieces {
            switch piece {
            case .text(let more):
                text += more
            case .control(let name):
                guard let token = controlToken(named: name) else { throw TokenizerError.unknownControlToken(name) }
                encode(text, with: &merger, into: &tokens)
                text = ""
                tokens.append(token)
            }
        }
        encode(text, with: &merger, into: &tokens)
        return tokens
    }

    /// The text of tokens. Control tokens stand for no text; bytes that are not UTF-8 become U+FFFD.
    public func decode(_ tokens: some Sequence<TokenID>) -> String {
        var bytes: [UInt8] = []
        for token in tokens { bytes += vocabulary.bytes(of: token) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The bytes that a token stands for: none for control tokens and ids outside the vocabulary.
    public func bytes(of token: TokenID) -> [UInt8] { Array(vocabulary.bytes(of: token)) }
}

extension Tokenizer {
    private func encode(_ text: String, with merger: inout WordMerger, into tokens: inout [TokenID]) {
        var text = text
        tokens.reserveCapacity(tokens.count + text.utf8.count / 4)
        text.withUTF8 { utf8 in
            preTokenizer.forEachWord(in: utf8) { range in
                encode(
                    word: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(utf8)[range]), with: &merger,
                    into: &tokens)
            }
        }
    }

    @inline(__always)
    private func encode(word: UnsafeRawBufferPointer, with merger: inout WordMerger, into tokens: inout [TokenID]) {
        if let token = vocabulary.word(word), isWholeWord[Int(token)] { return tokens.append(token) }
        for start in stride(from: 0, to: word.count, by: WordMerger.longestWord) {
            let piece = word[start..<min(start + WordMerger.longestWord, word.count)]
            merger.merge(piece.lazy.map { byteTokens[Int($0)] }.filter { $0 >= 0 }, into: &tokens)
        }
    }

    private static let longestWholeWord = 1024

    private static func wholeWords(_ vocabulary: Vocabulary, _ merges: MergeTable, _ byteTokens: [TokenID], all: Bool)
        -> [Bool]
    {
        if all { return Array(repeating: true, count: vocabulary.count) }
        var merger = WordMerger(merges: merges)
        var merged: [TokenID] = []
        return (0..<TokenID(vocabulary.count)).map { id in
            let bytes = vocabulary.bytes(of: id)
            // Only a hostile file has longer ones; they are merged when they come.
            guard bytes.count <= longestWholeWord else { return false }
            merged.removeAll(keepingCapacity: true)
            merger.merge(bytes.lazy.map { byteTokens[Int($0)] }.filter { $0 >= 0 }, into: &merged)
            return merged == [id]
        }
    }

    /// Names under which models end a text, a turn or a message; files seldom list all of a model's.
    private static let endNames = [
        "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "</s>",
    ]

    private static func endOfGeneration(_ file: GGUFFile, _ vocabulary: Vocabulary) throws -> Set<TokenID> {
        var ends = Set(endNames.compactMap { vocabulary.controlTokens[$0] })
        for kind in ["eos", "eot", "eom"] {
            if let token = try tokenID(file, "tokenizer.ggml.\(kind)_token_id", vocabulary) { ends.insert(token) }
        }
        return ends
    }

    private static func beginningOfText(_ file: GGUFFile, _ vocabulary: Vocabulary, addedUnlessSaid: Bool) throws
        -> TokenID?
    {
        guard try file.metadata.boolIfPresent("tokenizer.ggml.add_bos_token") ?? addedUnlessSaid else { return nil }
        return try tokenID(file, "tokenizer.ggml.bos_token_id", vocabulary)
    }

    private static func tokenID(_ file: GGUFFile, _ key: String, _ vocabulary: Vocabulary) throws -> TokenID? {
        guard let id = try file.metadata.intIfPresent(key) else { return nil }
        guard 0..<vocabulary.count ~= id else {
            throw TokenizerError.malformedVocabulary(
                path: file.path, "the key “\(key)” is \(id) but there are \(vocabulary.count) tokens")
        }
        return TokenID(id)
    }
}
