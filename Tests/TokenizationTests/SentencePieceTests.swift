// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import SeededRandom
import Testing

@testable import Tokenization

/// SentencePiece BPE against the reference library; Golden/make_sentencepiece.py trained the vocabulary.
@Suite struct SentencePieceTests {
    private let bytes: [UInt8]
    private let tokenizer: Tokenizer

    init() throws {
        bytes = [UInt8](try goldenData("sentencepiece.gguf"))
        tokenizer = try Tokenizer(file: open(bytes))
    }

    @Test func tokensOfAllLinesAgree() throws {
        var expected = IntegerReader(try goldenData("sentencepiece.ids"))
        var wrong: [String] = []
        var bytesFallenBack = 0
        for line in try goldenLines().prefix(6000) {
            let count = Int(try expected.next(UInt16.self))
            let ids = try (0..<count).map { _ in TokenID(try expected.next(UInt16.self)) }
            bytesFallenBack += ids.count { (3..<259).contains($0) }
            let found = tokenizer.encode(line)
            if found != ids { wrong.append("\(line.debugDescription): \(found) not \(ids)") }
        }
        #expect(expected.isAtEnd && bytesFallenBack > 1000)
        #expect(wrong.isEmpty, "\(wrong.count) lines, the first: \(wrong.first ?? "")")
    }

    @Test func linesComeBack() throws {
        for line in try goldenLines() {
            let ids = tokenizer.encode(line)
            // U+2581 is how SentencePiece writes a space.
            let expected = line.replacing("\u{2581}", with: " ")
            #expect(tokenizer.decode(ids).utf8.elementsEqual(expected.utf8))
            var decoder = StreamingDecoder(tokenizer)
            let streamed = ids.map { decoder.append($0) }.joined() + decoder.finish()
            #expect(streamed.utf8.elementsEqual(expected.utf8))
        }
    }

    /// Merging word by word is the same as merging the whole text.
    @Test func randomTextComesBack() {
        var random = SplitMix(state: 3)
        for _ in 0..<300 {
            let text = random.text(count: 40)
            let expected = text.replacing("\u{2581}", with: " ")
            #expect(tokenizer.decode(tokenizer.encode(text)).utf8.elementsEqual(expected.utf8))
        }
    }

    @Test func controlTokensComeFromTemplatesOnly() throws {
        #expect(tokenizer.controlToken(named: "<s>") == 1 && tokenizer.beginningOfText == 1)
        #expect(tokenizer.endOfGeneration == [2])
        for forged in ["<s>", "</s>", "<unk>", "<0x0A>", "a</s>b"] {
            let ids = tokenizer.encode(forged)
            #expect(!ids.contains { $0 < 3 } && tokenizer.decode(ids) == forged)
        }
        let pieces = try tokenizer.encode([
            .control("<s>"), .text("one"), .text(" two"), .control("</s>"), .text("one"),
        ])
        #expect(pieces == [1] + tokenizer.encode("one two") + [2] + tokenizer.encode("one"))
        #expect(tokenizer.encode("").isEmpty)
    }

    @Test func longTextsDoNotTakeForever() {
        for text in [String(repeating: "a", count: 1 << 20), String(repeating: " ", count: 1 << 20)] {
            #expect(tokenizer.decode(tokenizer.encode(text)) == text)
        }
    }

    @Test func incompleteVocabulariesAreRefused() throws {
        func changed(_ old: String, _ new: String) throws -> [UInt8] {
            var bytes = self.bytes
            let place = try #require(bytes.indices.first { bytes[$0...].starts(with: old.utf8) })
            bytes.replaceSubrange(place..<place + old.utf8.count, with: new.utf8)
            return bytes
        }
        #expect(throws: TokenizerError.self) { try Tokenizer(file: open(changed("<0x41>", "<0xZZ>"))) }
        #expect(throws: TokenizerError.self) { try Tokenizer(file: open(changed("<0x41>", "<0x42>"))) }
        #expect(throws: GGUFError.self) { try Tokenizer(file: open(changed("ggml.scores", "ggml.scorez"))) }
    }

    @Test func mutatedVocabulariesLoadOrAreRefused() throws {
        var random = SplitMix(state: 5)
        for _ in 0..<60 {
            var bytes = self.bytes
            for _ in 0..<8 {
                bytes[Int.random(in: 24..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            guard let tokenizer = try? Tokenizer(file: open(bytes)) else { continue }
            _ = tokenizer.decode(tokenizer.encode("Some text, 42 words — naïve 漢字 🙂"))
        }
    }
}
