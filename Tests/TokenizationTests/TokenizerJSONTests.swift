// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import SeededRandom
import Testing

@testable import Tokenization

/// `tokenizer.json` of each family against the `tokenizers` library; Golden/make_tokenizer_json.py trained them.
@Suite struct TokenizerJSONTests {
    private static let families = ["gpt-2", "smollm", "qwen2", "llama-3", "llama-2", "tekken"]

    /// A folder of a model without weights.
    private func folder<Result>(_ tokenizer: Data, _ body: (HuggingFaceFolder) throws -> Result) throws -> Result {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("deltakv-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: url) }
        try tokenizer.write(to: url.appendingPathComponent("tokenizer.json"))
        try Data("{}".utf8).write(to: url.appendingPathComponent("config.json"))
        try Data("{\"eos_token_id\": [1, 2]}".utf8).write(to: url.appendingPathComponent("generation_config.json"))
        try Data([2, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8)).write(to: url.appendingPathComponent("model.safetensors"))
        return try body(try HuggingFaceFolder(path: url.path))
    }

    private func tokenizer(_ family: String) throws -> Tokenizer {
        try folder(goldenData("json/\(family)/tokenizer.json")) { try Tokenizer(folder: $0) }
    }

    @Test(arguments: families)
    func tokensOfLinesAgree(_ family: String) throws {
        let tokenizer = try tokenizer(family)
        var expected = IntegerReader(try goldenData("json/\(family).ids"))
        var wrong: [String] = []
        for (index, line) in try goldenLines().enumerated() where index % 3 == 0 {
            let count = Int(try expected.next(UInt16.self))
            let ids = try (0..<count).map { _ in TokenID(try expected.next(UInt16.self)) }
            let found = tokenizer.encode(line)
            if found != ids { wrong.append("\(line.debugDescription): \(found) not \(ids)") }
        }
        #expect(expected.isAtEnd)
        #expect(wrong.isEmpty, "\(wrong.count) lines, the first: \(wrong.first ?? "")")
    }

    @Test func specialTokensAreDescribed() throws {
        let qwen = try tokenizer("qwen2"), llama3 = try tokenizer("llama-3"), llama2 = try tokenizer("llama-2")
        #expect(qwen.controlToken(named: "<|im_end|>") == 2 && qwen.beginningOfText == nil)
        #expect(qwen.endOfGeneration == [0, 1, 2])
        #expect(llama3.beginningOfText == 1 && llama2.beginningOfText == 1)
        #expect(llama2.controlToken(named: "</s>") == 2)
        #expect(!qwen.encode("<|im_end|>").contains(2) && !llama2.encode("</s>").contains(2))
    }

    /// What would make other tokens than the library's is refused, whatever it is.
    @Test(arguments: [
        (#""type":"BPE""#, #""type":"WordPiece""#), (#""type":"NFC""#, #""type":"NFKC""#),
        (#""behavior":"Isolated""#, #""behavior":"Removed""#), (#""invert":false"#, #""invert":true"#),
        (#"\\p{N}| ?"#, #"\\p{N}{1,2}| ?"#), (#""add_prefix_space":false"#, #""add_prefix_space":true"#),
        (#""use_regex":false"#, #""use_regex":true"#), (#""id":2,"content""#, #""id":2000000000,"content""#),
        (#""id":2,"content""#, #""id":-1,"content""#), (#"{"version""#, #"[{"version""#),
    ])
    func otherKindsAreRefused(_ old: String, _ new: String) throws {
        let text = String(decoding: try goldenData("json/qwen2/tokenizer.json"), as: UTF8.self)
        #expect(text.contains(old))
        let changed = text.replacing(old, with: new)
        #expect(throws: (any Error).self) { try folder(Data(changed.utf8)) { try Tokenizer(folder: $0) } }
    }

    @Test(arguments: ["qwen2", "llama-2"])
    func mutatedFilesLoadOrAreRefused(_ family: String) throws {
        let original = try goldenData("json/\(family)/tokenizer.json")
        var random = SplitMix(state: 9)
        for _ in 0..<150 {
            var data = original
            for _ in 0...Int.random(in: 0..<3, using: &random) {
                data[Int.random(in: 0..<data.count, using: &random)] = UInt8.random(in: 32...126, using: &random)
            }
            guard let tokenizer = try? folder(data, { try Tokenizer(folder: $0) }) else { continue }
            _ = tokenizer.decode(tokenizer.encode("Some text, 42 words — naïve 漢字 🙂"))
        }
    }
}
