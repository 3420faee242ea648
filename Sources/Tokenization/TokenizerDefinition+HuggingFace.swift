// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles

/// Reads `tokenizer.json` of the `tokenizers` library: BPE models whose steps are those of a known family. Anything that
/// would make other tokens than the library makes is refused by name.
extension TokenizerDefinition {
    init(folder: HuggingFaceFolder) throws {
        let json = try folder.tokenizer()
        let path = folder.path + "/tokenizer.json"
        guard let model = json["model"], model["type"]?.text == "BPE" else {
            throw TokenizerError.unsupportedModel(path: path, model: json["model"]?["type"]?.text ?? "unknown")
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] where !(model[key]?.text ?? "").isEmpty {
            throw TokenizerError.unsupportedModel(path: path, model: "BPE with \(key)")
        }
        self.path = path
        let isSentencePiece = model["byte_fallback"]?.bool ?? false
        let wholeWords = model["ignore_merges"]?.bool ?? false
        method =
            isSentencePiece
            ? .sentencePiece(try Self.addedSpace(json, path))
            : .byteLevel(
                try Self.family(json, path), wholeWords: wholeWords, composes: try Self.composes(json, path))
        tokens = try Self.tokens(json, model, path, hasBytes: isSentencePiece)
        bounds = try Self.bounds(json, path, composes: Self.composesText(method))
        order = .listed(try Self.merges(model, path))
        beginning = try Self.beginning(json, path, count: tokens.count)
        let count = tokens.count
        let end = try folder.generation()?["eos_token_id"] ?? folder.configuration["eos_token_id"]
        ends = (end?.elements ?? [end].compactMap(\.self)).compactMap { value in
            value.int.flatMap { 0..<count ~= $0 ? TokenID($0) : nil }
        }
    }

    /// The types of steps, for messages.
    private static func names(_ steps: [JSONValue]) -> String {
        steps.map { $0["type"]?.text ?? "unnamed" }.joined(separator: ", ")
    }

    private static func unsupported(_ path: String, _ what: String) -> TokenizerError {
        .unsupportedModel(path: path, model: "BPE with \(what)")
    }

    private static func isAbsent(_ value: JSONValue?) -> Bool {
        if case .null? = value { true } else { value == nil }
    }

    /// A step, or the steps of a sequence.
    private static func steps(_ step: JSONValue?, _ list: String) -> [JSONValue] {
        guard let step, !isAbsent(step) else { return [] }
        return step["type"]?.text == "Sequence" ? step[list]?.elements ?? [] : [step]
    }

    private static func tokens(_ json: JSONValue, _ model: JSONValue, _ path: String, hasBytes: Bool) throws
        -> [(String, Vocabulary.Kind)]
    {
        let words = model["vocab"]?.members ?? [], added = json["added_tokens"]?.elements ?? []
        let unknown = model["unk_token"]?.text
        // Ids may have gaps, but not so many that a small file takes much memory.
        let limit = 2 * (words.count + added.count) + 1024
        var tokens: [(String, Vocabulary.Kind)?] = []
        func set(_ id: Int?, _ token: (String, Vocabulary.Kind)) throws {
            guard let id, 0..<limit ~= id else {
                throw TokenizerError.malformedVocabulary(
                    path: path, "the token “\(token.0)” has no id between 0 and \(limit - 1)")
            }
            while tokens.count <= id { tokens.append(nil) }
            tokens[id] = token
        }
        for word in words {
            let isByte = hasBytes && Vocabulary.byte(word.key) != nil
            let kind: Vocabulary.Kind = word.key == unknown && hasBytes ? .unknown : isByte ? .byte : .normal
            try set(word.value.int, (word.key, kind))
        }
        for token in added {
            let text = token["content"]?.text ?? ""
            let isControl = token["special"]?.bool ?? false
            try set(token["id"]?.int, (text, isControl ? .control : .userDefined))
        }
        return tokens.map { $0 ?? ("", .unused) }
    }

    /// What is special about the text around added tokens; their ids are in bounds.
    private static func bounds(_ json: JSONValue, _ path: String, composes: Bool) throws -> [TokenID: TokenBounds] {
        var all: [TokenID: TokenBounds] = [:]
        for token in json["added_tokens"]?.elements ?? [] {
            guard let id = token["id"]?.int.flatMap(TokenID.init(exactly:)) else { continue }
            var bounds: TokenBounds = []
            if token["lstrip"]?.bool == true { bounds.insert(.takesSpaceBefore) }
            if token["rstrip"]?.bool == true { bounds.insert(.takesSpaceAfter) }
            if token["single_word"]?.bool == true { bounds.insert(.isWord) }
            if !bounds.isEmpty { all[id] = bounds }
            // Such a token would be looked for in normalised text; of names that stay as they are, that is the same.
            let name = token["content"]?.text ?? ""
            guard composes, token["normalized"]?.bool == true else { continue }
            guard name.precomposedStringWithCanonicalMapping.utf8.elementsEqual(name.utf8) else {
                throw unsupported(path, "the added token “\(name)”, which the normaliser changes")
            }
        }
        return all
    }

    private static func composesText(_ method: Method) -> Bool {
        if case .byteLevel(_, _, let composes) = method { composes } else { false }
    }

    private static func merges(_ model: JSONValue, _ path: String) throws -> [(Substring, Substring)] {
        let all = model["merges"]?.elements ?? []
        let lines = all.compactMap(\.text)
        if lines.count == all.count { return try merges(lines, path: path) }
        return try all.map { merge in
            guard let pair = merge.elements, pair.count == 2, let left = pair[0].text, let right = pair[1].text else {
                throw TokenizerError.malformedVocabulary(path: path, "a merge is not of two tokens")
            }
            return (left[...], right[...])
        }
    }

    /// The token that the post-processor puts in front.
    private static func beginning(_ json: JSONValue, _ path: String, count: Int) throws -> TokenID? {
        for step in steps(json["post_processor"], "processors") where step["type"]?.text == "TemplateProcessing" {
            guard let name = step["single"]?.elements?.first?["SpecialToken"]?["id"]?.text else { continue }
            guard let id = step["special_tokens"]?[name]?["ids"]?.elements?.first?.int, 0..<count ~= id else {
                throw TokenizerError.malformedVocabulary(path: path, "the token “\(name)” in front has no id")
            }
            return TokenID(id)
        }
        return nil
    }
}

extension TokenizerDefinition {
    /// The families by their published expressions; ``PreTokenizer`` says what they match.
    private static let expressions: [String: PreTokenizer] = [
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#:
            .qwen2,
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#:
            .llamaBPE,
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#:
            .tekken,
    ]

    /// The family of the pre-tokenizer: a byte-level step, with its own expression or after a step that splits.
    private static func family(_ json: JSONValue, _ path: String) throws -> PreTokenizer {
        let steps = steps(json["pre_tokenizer"], "pretokenizers")
        guard let last = steps.last, last["type"]?.text == "ByteLevel", last["add_prefix_space"]?.bool != true,
            steps.count <= 2
        else { throw unsupported(path, "these steps of splitting: \(names(steps))") }
        let hasOwn = last["use_regex"]?.bool ?? true
        guard steps.count == 2 else {
            if hasOwn { return .gpt2 }
            throw unsupported(path, "words that are never split")
        }
        let first = steps[0]
        if hasOwn, first["type"]?.text == "Digits", first["individual_digits"]?.bool == true { return .smollm }
        guard !hasOwn, first["type"]?.text == "Split", first["behavior"]?.text == "Isolated",
            first["invert"]?.bool != true, let expression = first["pattern"]?["Regex"]?.text,
            let family = expressions[expression]
        else {
            throw unsupported(path, "another splitting of words: \(first["pattern"]?["Regex"]?.text ?? names(steps))")
        }
        return family
    }

    private static func composes(_ json: JSONValue, _ path: String) throws -> Bool {
        let steps = steps(json["normalizer"], "normalizers")
        guard steps.allSatisfy({ $0["type"]?.text == "NFC" }) else {
            throw unsupported(path, "these normalisers: \(names(steps))")
        }
        return !steps.isEmpty
    }

    /// Where SentencePiece's steps put a space: the older form prepends U+2581 and replaces spaces by it, the
    /// newer has a step of its own.
    private static func addedSpace(_ json: JSONValue, _ path: String) throws -> TokenizerDefinition.AddedSpace {
        var adds = false, replaces = false
        for step in steps(json["normalizer"], "normalizers") {
            switch step["type"]?.text {
            case "Prepend" where step["prepend"]?.text == "\u{2581}" && !replaces: adds = true
            case "Replace" where step["pattern"]?["String"]?.text == " " && step["content"]?.text == "\u{2581}":
                replaces = true
            default: throw unsupported(path, "the normaliser \(names([step]))")
            }
        }
        let before = steps(json["pre_tokenizer"], "pretokenizers")
        if before.isEmpty, replaces { return adds ? .everywhere : .nowhere }
        guard before.count == 1, !replaces, !adds, before[0]["type"]?.text == "Metaspace",
            before[0]["replacement"]?.text == "\u{2581}", before[0]["split"]?.bool == false,
            let scheme = before[0]["prepend_scheme"]?.text,
            let space = [
                "never": TokenizerDefinition.AddedSpace.nowhere, "first": .atBeginningUnlessThere,
                "always": .everywhereUnlessThere,
            ][scheme]
        else { throw unsupported(path, "these steps of splitting: \(names(before))") }
        return space
    }
}
