// SPDX-License-Identifier: Apache-2.0
import ModelFiles

extension TokenizerDefinition {
    /// Reads the keys `tokenizer.ggml.…`.
    init(file: GGUFFile) throws {
        let keys = file.metadata
        path = file.path
        let begins: Bool
        switch try keys.string("tokenizer.ggml.model") {
        case "gpt2":
            let name = try keys.string("tokenizer.ggml.pre")
            guard let family = PreTokenizer(rawValue: name) ?? Self.otherNames[name] else {
                throw TokenizerError.unsupportedPreTokenizer(path: path, name: name)
            }
            let isLlama = family == .llamaBPE || family == .tekken
            // The format has no key for it; qwen2's own tokenizer puts text in NFC.
            method = .byteLevel(family, wholeWords: isLlama, composes: name == PreTokenizer.qwen2.rawValue)
            order = .listed(try Self.merges(keys.strings("tokenizer.ggml.merges"), path: path))
            begins = isLlama
        case "llama":
            guard try !(keys.boolIfPresent("tokenizer.ggml.remove_extra_whitespaces") ?? false) else {
                throw TokenizerError.unsupportedModel(path: path, model: "SentencePiece that removes white space")
            }
            method = .sentencePiece(
                try keys.boolIfPresent("tokenizer.ggml.add_space_prefix") ?? true ? .everywhere : .nowhere)
            order = .scored(try keys.floats("tokenizer.ggml.scores"))
            begins = true
        case let model: throw TokenizerError.unsupportedModel(path: path, model: model)
        }
        tokens = try Self.tokens(file)
        // The format has no key for them.
        bounds = [:]
        beginning =
            try keys.boolIfPresent("tokenizer.ggml.add_bos_token") ?? begins
            ? Self.tokenID(file, "tokenizer.ggml.bos_token_id", count: tokens.count) : nil
        let count = tokens.count
        ends = try ["eos", "eot", "eom"].compactMap {
            try Self.tokenID(file, "tokenizer.ggml.\($0)_token_id", count: count)
        }
    }

    /// Names of families that split words as others do.
    private static let otherNames: [String: PreTokenizer] = [
        "llama3": .llamaBPE, "llama-v3": .llamaBPE, "deepseek-r1-qwen": .qwen2,
    ]

    private static func tokens(_ file: GGUFFile) throws -> [(String, Vocabulary.Kind)] {
        let texts = try file.metadata.strings("tokenizer.ggml.tokens")
        guard let raw = try file.metadata.intsIfPresent("tokenizer.ggml.token_type") else {
            return texts.map { ($0, .normal) }
        }
        guard raw.count == texts.count else {
            throw TokenizerError.malformedVocabulary(
                path: file.path, "the vocabulary has \(texts.count) tokens but \(raw.count) token types")
        }
        return try zip(texts, raw).map { text, value in
            guard let kind = UInt8(exactly: value).flatMap(Vocabulary.Kind.init) else {
                throw TokenizerError.malformedVocabulary(
                    path: file.path, "a token has the unknown type \(value)")
            }
            return (text, kind)
        }
    }

    /// The texts of merges that are written with a space between them; it is outside of every alphabet.
    static func merges(_ lines: [String], path: String) throws -> [(Substring, Substring)] {
        try lines.map { line in
            guard let separator = line.utf8.firstIndex(of: UInt8(ascii: " ")) else {
                throw TokenizerError.malformedVocabulary(path: path, "the merge “\(line)” is not of two tokens")
            }
            return (line[..<separator], line[line.utf8.index(after: separator)...])
        }
    }

    private static func tokenID(_ file: GGUFFile, _ key: String, count: Int) throws -> TokenID? {
        guard let id = try file.metadata.intIfPresent(key) else { return nil }
        guard 0..<count ~= id else {
            throw TokenizerError.malformedVocabulary(
                path: file.path, "the key “\(key)” is \(id) but there are \(count) tokens")
        }
        return TokenID(id)
    }
}
