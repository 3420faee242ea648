// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import Testing

@testable import Tokenization

/// Added tokens that take white space or stand alone, against the `tokenizers` library: Golden/make_added.py.
@Suite struct AddedTokenTests {
    private static func family(_ name: String) throws -> (added: [JSONValue], cases: [JSONValue]) {
        let json = try JSONValue(json: String(decoding: goldenData("added.json"), as: UTF8.self))
        let family = try #require(json[name])
        return (family["added_tokens"]?.elements ?? [], family["cases"]?.elements ?? [])
    }

    /// The tokenizer of a family with more added tokens.
    private static func tokenizer(_ name: String, adding tokens: [[String: Any]]) throws -> Tokenizer {
        let data = try goldenData("json/\(name)/tokenizer.json")
        var json = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        json["added_tokens"] = try #require(json["added_tokens"] as? [[String: Any]]) + tokens
        return try TokenizerFolder.tokenizer(JSONSerialization.data(withJSONObject: json))
    }

    private static func object(_ token: JSONValue) -> [String: Any] {
        Dictionary(
            uniqueKeysWithValues: (token.members ?? []).map {
                ($0.key, $0.value.text ?? $0.value.bool ?? $0.value.int ?? 0)
            })
    }

    @Test(arguments: ["qwen2", "llama-2"])
    func markupBecomesTheLibrarysTokens(_ name: String) throws {
        let (added, cases) = try Self.family(name)
        let tokenizer = try Self.tokenizer(name, adding: added.map(Self.object))
        #expect(cases.count == 1500)
        var wrong: [String] = []
        for entry in cases {
            let text = try #require(entry["text"]?.text), ids = (entry["ids"]?.elements ?? []).compactMap(\.int)
            let found = try tokenizer.encode([.markup(text)]).map { Int($0) }
            if found != ids { wrong.append("\(text.debugDescription): \(found) not \(ids)") }
        }
        #expect(wrong.isEmpty, "\(wrong.count) texts, the first: \(wrong.first ?? "")")
    }

    /// White space is taken from a message too, but a message never becomes such a token.
    @Test func messagesKeepWhatLooksLikeAToken() throws {
        let added = try Self.family("qwen2").added
        let tokenizer = try Self.tokenizer("qwen2", adding: added.map(Self.object))
        let end = try #require(tokenizer.controlToken(named: "<|end|>"))
        let hello = tokenizer.encode("Hello")
        #expect(
            try tokenizer.encode([.text("Hello \n"), .markup("<|end|>"), .text("\n Hello")]) == hello + [end] + hello)
        #expect(try tokenizer.encode([.text("Hello "), .control("<|end|>"), .text(" Hello")]) == hello + [end] + hello)
        #expect(try tokenizer.encode([.text("Hello <|end|>")]) == tokenizer.encode("Hello <|end|>"))
        #expect(!tokenizer.encode("Hello <|end|>").contains(end))
        // The letter before it comes from a message.
        let word = try #require(tokenizer.controlToken(named: "word"))
        #expect(try tokenizer.encode([.text("a"), .markup("word")]).contains(word) == false)
        #expect(try tokenizer.encode([.text("a "), .markup("word")]).contains(word))
    }

    @Test func aTokenThatTheNormaliserChangesIsRefused() {
        let token: [String: Any] = ["id": 1600, "content": "e\u{301}", "normalized": true, "special": true]
        #expect(throws: TokenizerError.self) { try Self.tokenizer("qwen2", adding: [token]) }
    }
}
