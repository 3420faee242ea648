// SPDX-License-Identifier: Apache-2.0
import SeededRandom
import Testing

@testable import Tokenization

@Suite struct StreamingDecoderTests {
    let tokenizer: Tokenizer

    init() throws { tokenizer = try TokenizerFile().tokenizer() }

    @Test func charactersComeWhole() {
        var decoder = StreamingDecoder(tokenizer)
        let pieces = "aé漢🙂".utf8.map { decoder.append(TokenID($0)) }
        #expect(pieces == ["a", "", "é", "", "", "漢", "", "", "", "🙂"])
        #expect(decoder.finish() == "")
    }

    @Test func unfinishedCharactersAreReplacedAtTheEnd() {
        var decoder = StreamingDecoder(tokenizer)
        #expect(decoder.append(0xf0) + decoder.append(0x9f) + decoder.append(0x99) == "")
        #expect(decoder.finish() == "\u{fffd}")
        #expect(decoder.finish() == "")
    }

    @Test func invalidBytesAreReplacedAsSoonAsTheyAreKnownToBe() {
        var decoder = StreamingDecoder(tokenizer)
        #expect(decoder.append(0x80) == "\u{fffd}")
        #expect(decoder.append(0xff) == "\u{fffd}")
        #expect(decoder.append(0xe0) == "")
        // E0 80 cannot start a character, so neither byte waits.
        #expect(decoder.append(0x80) == "\u{fffd}\u{fffd}")
        #expect(decoder.append(0xc3) == "")
        #expect(decoder.append(0x41) == "\u{fffd}A")
    }

    @Test func anyBytesGiveWhatDecodingThemAtOnceGives() {
        var random = SplitMix(state: 3)
        let interesting: [UInt8] = [
            0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1,
            0xf4, 0xf5,
            0xff,
        ]
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...8, using: &random)).map { _ in
                interesting.randomElement(using: &random)!
            }
            var decoder = StreamingDecoder(tokenizer)
            let streamed = bytes.map { decoder.append(TokenID($0)) }.joined() + decoder.finish()
            #expect(streamed.utf8.elementsEqual(String(decoding: bytes, as: UTF8.self).utf8), "\(bytes)")
        }
    }

    @Test func controlTokensAndUnknownIdsAddNothing() throws {
        var file = TokenizerFile()
        file.add("<|x|>", type: 3)
        var decoder = StreamingDecoder(try file.tokenizer())
        #expect(decoder.append(0xc3) + decoder.append(256) + decoder.append(-7) + decoder.append(0xa9) == "é")
    }
}
