// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import SeededRandom
import Testing

@testable import Tokenization

@Suite struct TokenizerTests {
    @Test(arguments: PreTokenizer.allCases)
    func anyTextComesBackToTheByte(_ preTokenizer: PreTokenizer) throws {
        var file = TokenizerFile(pre: preTokenizer.rawValue)
        file.add("ab", merge: "a b")
        file.add("abc", merge: "ab c")
        let tokenizer = try file.tokenizer()
        #expect(tokenizer.unrepresentableBytes.isEmpty)
        var random = SplitMix(state: 11)
        for _ in 0..<500 {
            let text = random.text(count: 40) + "abcab"
            let expected = preTokenizer == .qwen2 ? text.precomposedStringWithCanonicalMapping : text
            #expect(tokenizer.encode(text).flatMap(tokenizer.bytes) == Array(expected.utf8))
        }
    }

    @Test func mergesAreTakenByRankThenFromTheLeft() throws {
        var file = TokenizerFile()
        file.add("aa", merge: "a a")
        file.add("ab", merge: "a b")
        file.add("aab", merge: "aa b")
        let tokenizer = try file.tokenizer()
        #expect(tokenizer.encode("aab") == [258])
        #expect(tokenizer.encode("aaab") == [256, 257])
        #expect(tokenizer.encode("ab") == [257])
    }

    @Test func textNeverBecomesControlTokens() throws {
        var file = TokenizerFile(pre: "llama-bpe")
        file.add("stop", type: 3, merge: "st op")
        file.add("st", merge: "s t")
        file.add("op", merge: "o p")
        file.add("<|x|>", type: 3)
        let tokenizer = try file.tokenizer()
        #expect(tokenizer.encode("stop") == [257, 258])
        #expect(tokenizer.encode("<|x|>").allSatisfy { $0 < 256 })
        #expect(
            try tokenizer.encode([.control("stop"), .text("<|x|>"), .control("<|x|>")]).filter { $0 > 255 } == [
                256, 259,
            ])
        #expect(tokenizer.decode([256, 115, 259]) == "s")
    }

    @Test func wholeWordsArePreferredOnlyByTheFamilyThatDoesSo() throws {
        for (name, expected): (String, [TokenID]) in [("llama-bpe", [256]), ("qwen2", [120, 121])] {
            var file = TokenizerFile(pre: name)
            file.add("xy")
            #expect(try file.tokenizer().encode("xy") == expected)
        }
    }

    @Test func neighbouringTextsAreJoined() throws {
        let tokenizer = try TestModel.load().tokenizer
        let pieces: [PromptPiece] = [
            .text("hel"), .text(""), .text("lo wor"), .text("ld"), .control("<|im_end|>"), .text("\n"),
        ]
        #expect(try tokenizer.encode(pieces) == tokenizer.encode("hello world") + [2] + tokenizer.encode("\n"))
    }

    @Test func unknownControlTokensAreAnError() throws {
        let tokenizer = try TokenizerFile().tokenizer()
        #expect(throws: TokenizerError.unknownControlToken("<|x|>")) { try tokenizer.encode([.control("<|x|>")]) }
        #expect(throws: TokenizerError.unknownControlToken("a")) { try tokenizer.encode([.control("a")]) }
    }

    @Test func idsOutsideTheVocabularyStandForNothing() throws {
        let tokenizer = try TokenizerFile().tokenizer()
        #expect(tokenizer.decode([.min, -1, 104, 256, 105, .max]) == "hi")
        #expect(tokenizer.bytes(of: .max).isEmpty)
        #expect(tokenizer.decode([0xf0, 0x9f, 0x41]) == "\u{fffd}A")
    }

    @Test func bytesWithoutTokensAreDropped() throws {
        var file = TokenizerFile()
        file.tokens.removeLast(256 - 0xf1)
        file.add("ab", merge: "a b")
        let tokenizer = try file.tokenizer()
        #expect(tokenizer.unrepresentableBytes == Set(0xf1...0xff))
        #expect(
            tokenizer.encode("a\u{40000}b").flatMap(tokenizer.bytes)
                == [0x61, 0x80, 0x80, 0x80, 0x62].filter { $0 != 0xf1 })
    }

    @Test func anEmptyTextHasNoTokens() throws {
        let tokenizer = try TokenizerFile().tokenizer()
        #expect(tokenizer.encode("").isEmpty)
        #expect(try tokenizer.encode([PromptPiece]()).isEmpty)
        #expect(tokenizer.decode([]).isEmpty)
    }

    /// A megabyte of one letter is one word; merging it must not be quadratic.
    @Test(arguments: ["a", " ", "é", "漢", "="])
    func longWordsAreMergedInReasonableTime(_ letter: String) throws {
        let tokenizer = try TestModel.load().tokenizer
        let text = String(repeating: letter, count: (1 << 20) / letter.utf8.count)
        #expect(tokenizer.decode(tokenizer.encode(text)).utf8.elementsEqual(text.utf8))
    }

    @Test func longWordsAreMergedAsTheDefinitionSays() throws {
        let tokenizer = try TestModel.load().tokenizer
        let merges = try MergeTable(
            TokenizerDefinition(file: TestModel.load().file), vocabulary: tokenizer.vocabulary)
        var merger = WordMerger(merges: merges)
        var random = SplitMix(state: 5)
        for length in [2, 3, 47, 48, 49, 50, 51, 100, 300] {
            for letters in ["ab", "e", "the in", "aeiounrst", "=-"] {
                let letters = letters.utf8.map { withUnsafeBytes(of: $0, tokenizer.vocabulary.word)! }
                let word = (0..<length).map { _ in letters.randomElement(using: &random)! }
                var merged: [TokenID] = []
                merger.merge(word, into: &merged)
                #expect(merged == naivelyMerged(word, merges))
            }
        }
    }

    private func naivelyMerged(_ word: [TokenID], _ merges: MergeTable) -> [TokenID] {
        var word = word
        while let best = zip(word, word.dropFirst()).map(merges.rank).enumerated().min(by: { $0.element < $1.element }),
            best.element != MergeTable.never
        {
            word.replaceSubrange(best.offset...best.offset + 1, with: [merges.result(ofRank: best.element)])
        }
        return word
    }
}
