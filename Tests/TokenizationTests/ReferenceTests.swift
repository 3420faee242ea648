// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import Testing

@testable import Tokenization

/// Agreement with the reference tokenizer on the texts that Golden/make_tokens.py writes.
@Suite struct ReferenceTests {
    @Test func tokensOfAllLinesAgree() throws {
        let tokenizer = try TestModel.load().tokenizer
        var expected = IntegerReader(try goldenData("smollm.ids"))
        let lines = try goldenLines()
        #expect(lines.count == 10_000)
        var wrong: [String] = []
        for line in lines {
            let count = Int(try expected.next(UInt16.self))
            let ids = try (0..<count).map { _ in TokenID(try expected.next(UInt16.self)) }
            if tokenizer.encode(line) != ids {
                wrong.append("\(line.debugDescription): \(tokenizer.encode(line)) not \(ids)")
            }
        }
        #expect(expected.isAtEnd)
        #expect(wrong.isEmpty, "\(wrong.count) lines, the first: \(wrong.first ?? "")")
    }

    @Test(arguments: PreTokenizer.allCases)
    func wordsOfAllLinesAgree(_ preTokenizer: PreTokenizer) throws {
        var expected = IntegerReader(try goldenData("\(preTokenizer.rawValue).words"))
        var wrong: [String] = []
        for var line in try goldenLines() {
            var lengths: [Int] = []
            while case let length = try expected.next(UInt8.self), length > 0 {
                lengths.append(length < 255 ? Int(length) : Int(try expected.next(UInt32.self)))
            }
            var found: [Int] = []
            line.withUTF8 { preTokenizer.forEachWord(in: $0) { found.append($0.count) } }
            if found != lengths { wrong.append("\(line.debugDescription): \(found) not \(lengths)") }
        }
        #expect(expected.isAtEnd)
        #expect(wrong.isEmpty, "\(wrong.count) lines, the first: \(wrong.first ?? "")")
    }

    @Test func characterClassesAgree() throws {
        var expected = [UInt8](repeating: 0, count: 0x110000)
        var ranges = IntegerReader(try goldenData("classes.bin"))
        while !ranges.isAtEnd {
            let (first, last) = (try ranges.next(UInt32.self), try ranges.next(UInt32.self))
            let number = UInt8(try ranges.next(UInt32.self))
            for value in first...last { expected[Int(value)] = number }
        }
        let wrong = (0..<0x110000).filter { value in
            let found: ScalarClass = value < ScalarClass.tableSize ? ScalarClass.table[value] : .other
            return found.rawValue != expected[value]
        }
        #expect(wrong.isEmpty, "\(wrong.count) scalars, the first U+\(String(wrong.first ?? 0, radix: 16))")
    }

    @Test func linesComeBackToTheByte() throws {
        let tokenizer = try TestModel.load().tokenizer
        for line in try goldenLines() {
            let expected = line.utf8.filter { !tokenizer.unrepresentableBytes.contains($0) }
            #expect(tokenizer.encode(line).flatMap(tokenizer.bytes) == expected)
        }
    }

    @Test func streamedTextIsTheDecodedText() throws {
        let tokenizer = try TestModel.load().tokenizer
        for line in try goldenLines() {
            let ids = tokenizer.encode(line)
            var decoder = StreamingDecoder(tokenizer)
            let streamed = ids.map { decoder.append($0) }.joined() + decoder.finish()
            #expect(streamed.utf8.elementsEqual(tokenizer.decode(ids).utf8))
        }
    }

    @Test func theDefaultModelsTokenizerIsDescribed() throws {
        let tokenizer = try TestModel.load().tokenizer
        #expect(tokenizer.vocabularyCount == 49152)
        #expect(tokenizer.controlToken(named: "<|im_start|>") == 1)
        #expect(tokenizer.controlToken(named: "hello") == nil)
        #expect(tokenizer.endOfGeneration == [0, 2])
        #expect(tokenizer.beginningOfText == nil)
        #expect(tokenizer.unrepresentableBytes.isDisjoint(with: 0x20...0x7e))
    }
}
