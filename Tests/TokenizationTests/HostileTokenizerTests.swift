// SPDX-License-Identifier: Apache-2.0
import ModelFiles
import SeededRandom
import Testing

@testable import Tokenization

@Suite struct HostileTokenizerTests {
    /// The sentence with which a vocabulary is refused, empty (and a failed expectation) where it is not.
    private func refusal(_ file: TokenizerFile, _ location: SourceLocation = #_sourceLocation) -> String {
        let error = #expect(throws: TokenizerError.self, sourceLocation: location) { try file.tokenizer() }
        if case .malformedVocabulary(_, let sentence) = error { return sentence }
        return ""
    }

    @Test func otherKindsOfTokenizersAreRefused() throws {
        var file = TokenizerFile()
        file.model = "t5"
        let error = #expect(throws: TokenizerError.self) { try file.tokenizer() }
        guard case .unsupportedModel(_, "t5") = error else { return #expect(Bool(false), "\(error as Any)") }
    }

    @Test func otherPreTokenizersAreRefused() throws {
        let error = #expect(throws: TokenizerError.self) { try TokenizerFile(pre: "poro-chat").tokenizer() }
        guard case .unsupportedPreTokenizer(_, "poro-chat") = error else {
            return #expect(Bool(false), "\(error as Any)")
        }
        #expect(error?.description.contains("qwen2") == true)
    }

    @Test func filesWithoutTokenizersAreRefused() {
        #expect(throws: GGUFError.self) {
            try Tokenizer(file: open(Array("GGUF".utf8) + [3, 0, 0, 0] + [UInt8](repeating: 0, count: 16)))
        }
    }

    @Test func vocabulariesThatContradictThemselvesAreRefused() {
        var empty = TokenizerFile()
        empty.tokens = []
        #expect(refusal(empty).contains("0 tokens"))
        var types = TokenizerFile()
        types.types = [1, 1]
        #expect(refusal(types).contains("2 token types"))
        types.types = types.tokens.map { _ in 77 }
        #expect(refusal(types).contains("77"))
        for id: UInt32 in [256, .max] {
            var end = TokenizerFile()
            end.integers["tokenizer.ggml.eos_token_id"] = id
            #expect(refusal(end).contains("eos_token_id"))
        }
    }

    @Test(arguments: ["", "ab", "a b c", "a b", " a", "a ", "漢 字", "zz a"])
    func mergesThatCannotBeAreRefused(_ merge: String) {
        var file = TokenizerFile()
        file.merges = [merge]
        #expect(refusal(file).contains("merge"))
    }

    @Test func repeatedMergesAndTokensAreHarmless() throws {
        var file = TokenizerFile()
        file.add("ab", merge: "a b")
        file.merges += ["a b", "a b"]
        file.add("ab")
        let tokenizer = try file.tokenizer()
        #expect(tokenizer.encode("abab").flatMap(tokenizer.bytes) == Array("abab".utf8))
    }

    @Test func mutatedFilesAreUsableOrRefused() throws {
        var file = TokenizerFile(pre: "llama-bpe")
        file.tokens = Array(file.tokens[0x20..<0x80])
        file.add("th", merge: "t h")
        file.add("the", merge: "th e")
        file.add("<|end|>", type: 3)
        file.integers["tokenizer.ggml.eos_token_id"] = 98
        let original = file.bytes
        var random = SplitMix(state: 23)
        var usable = 0
        for _ in 0..<3000 {
            var bytes = original
            for _ in 0...Int.random(in: 0..<3, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            do {
                let tokenizer = try Tokenizer(file: open(bytes))
                let ids = tokenizer.encode("the other theatre <|end|> \(random.text(count: 5))")
                #expect(ids.allSatisfy { 0..<TokenID(tokenizer.vocabularyCount) ~= $0 })
                _ = tokenizer.decode(ids)
                usable += 1
            } catch is GGUFError {
            } catch is TokenizerError {
            }
        }
        #expect(usable > 20)
    }
}
