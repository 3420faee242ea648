// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import Testing

@testable import Tokenization

/// A tokenizer from a GGUF file is the one that `tokenizer.json` of the same model gives.
@Suite struct GGUFTokenizerTests {
    /// The file that llama.cpp's converter would write of a folder's tokenizer.
    private func file(_ family: String, pre: String) throws -> TokenizerFile {
        let json = try JSONValue(json: String(decoding: goldenData("json/\(family)/tokenizer.json"), as: UTF8.self))
        let words = try #require(json["model"]?["vocab"]?.members).sorted { ($0.value.int ?? 0) < ($1.value.int ?? 0) }
        let special = Set((json["added_tokens"]?.elements ?? []).compactMap { $0["id"]?.int })
        var file = TokenizerFile(pre: pre)
        file.tokens = words.map(\.key)
        file.types = words.indices.map { special.contains($0) ? 3 : 1 }
        file.merges = (json["model"]?["merges"]?.elements ?? []).map { merge in
            merge.text ?? (merge.elements ?? []).compactMap(\.text).joined(separator: " ")
        }
        return file
    }

    @Test(arguments: [
        ("qwen2", "qwen2"), ("tekken", "tekken"), ("llama-3", "llama-bpe"), ("llama-3", "llama3"), ("gpt-2", "gpt-2"),
        ("smollm", "smollm"),
    ])
    func tokensAreThoseOfTheFolder(_ family: String, _ pre: String) throws {
        let tokenizer = try file(family, pre: pre).tokenizer()
        var expected = IntegerReader(try goldenData("json/\(family).ids"))
        var wrong: [String] = []
        for (index, line) in try goldenLines().enumerated() where index % 3 == 0 {
            let ids = try (0..<Int(try expected.next(UInt16.self))).map { _ in TokenID(try expected.next(UInt16.self)) }
            if tokenizer.encode(line) != ids { wrong.append(line.debugDescription) }
        }
        #expect(expected.isAtEnd)
        #expect(wrong.isEmpty, "\(wrong.count) lines, the first: \(wrong.first ?? "")")
    }

    @Test func onlyQwensOwnTokenizerComposes() throws {
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}")
        let qwen = try file("qwen2", pre: "qwen2").tokenizer()
        #expect(qwen.encode(decomposed) == qwen.encode(composed))
        let distilled = try file("qwen2", pre: "deepseek-r1-qwen").tokenizer()
        #expect(distilled.encode(decomposed) != distilled.encode(composed))
        #expect(distilled.encode(composed) == qwen.encode(composed))
    }
}
