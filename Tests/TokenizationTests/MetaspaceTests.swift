// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import Testing

@testable import Tokenization

/// Where the newer form of SentencePiece's steps puts spaces, against the `tokenizers` library (Golden/make_metaspace.py).
@Suite struct MetaspaceTests {
    private struct Prompt: Decodable {
        let pieces: [String]
        let ids: [TokenID]

        var parsed: [PromptPiece] {
            pieces.map { piece in
                piece.hasPrefix("text:") ? .text(String(piece.dropFirst(5))) : .control(String(piece.dropFirst(8)))
            }
        }
    }

    private func tokenizer(_ scheme: String) throws -> Tokenizer {
        let text = String(decoding: try goldenData("json/llama-2/tokenizer.json"), as: UTF8.self)
        let start = try #require(text.range(of: "\"normalizer\":{")),
            end = try #require(text.range(of: "\"post_processor\""))
        let step =
            "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\u{2581}\","
            + "\"prepend_scheme\":\"\(scheme)\",\"split\":false},"
        let json = text[..<start.lowerBound] + step + text[end.lowerBound...]
        return try TokenizerFolder.tokenizer(Data(json.utf8))
    }

    @Test(arguments: ["always", "first", "never"])
    func tokensOfPromptsAgree(_ scheme: String) throws {
        let all = try JSONDecoder().decode([String: [Prompt]].self, from: goldenData("metaspace.json"))
        let prompts = try #require(all[scheme]), tokenizer = try tokenizer(scheme)
        #expect(prompts.count == 13)
        for prompt in prompts { #expect(try tokenizer.encode(prompt.parsed) == prompt.ids, "\(prompt.pieces)") }
    }
}

/// A folder with nothing but a tokenizer.
enum TokenizerFolder {
    static func tokenizer(_ json: Data) throws -> Tokenizer {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("deltakv-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: url) }
        try json.write(to: url.appendingPathComponent("tokenizer.json"))
        try Data("{}".utf8).write(to: url.appendingPathComponent("config.json"))
        try Data([2, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8)).write(to: url.appendingPathComponent("model.safetensors"))
        return try Tokenizer(folder: HuggingFaceFolder(path: url.path))
    }
}
