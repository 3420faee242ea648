// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import SeededRandom
import Testing

@testable import Tokenization

/// 50,000 lines for each family of tokenizers against the reference libraries; Golden/make_digests.py says how.
@Suite struct DigestTests {
    private static let count = 50_000, block = 500

    /// Each text as scalars, so that pieces are cut as Python cuts them.
    private static let texts: Result<[[Unicode.Scalar]], any Error> = Result {
        try goldenLines().map { Array($0.unicodeScalars) }
    }

    private static func lines(_ body: (String) -> Void) throws {
        let texts = try texts.get()
        var random = SplitMix(state: 50_000)
        func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
        for _ in 0..<count {
            var line = String.UnicodeScalarView()
            for _ in 0...below(3) {
                let text = texts[below(texts.count)]
                if !text.isEmpty {
                    let first = below(text.count)
                    line.append(contentsOf: text[first..<min(text.count, first + 1 + below(60))])
                }
                line.append(contentsOf: ["", " ", "\n", "  "][below(4)].unicodeScalars)
            }
            body(String(line))
        }
    }

    private func tokenizer(_ name: String) throws -> Tokenizer {
        switch name {
        case "default": try TestModel.load().tokenizer
        case "sentencepiece": try Tokenizer(file: open([UInt8](goldenData("sentencepiece.gguf"))))
        default: try TokenizerFolder.tokenizer(goldenData("json/\(name)/tokenizer.json"))
        }
    }

    @Test(arguments: ["gpt-2", "smollm", "qwen2", "llama-3", "llama-2", "tekken", "default", "sentencepiece"])
    func tokensOfFiftyThousandLinesAgree(_ name: String) throws {
        let rows = String(decoding: try goldenData("digests.txt"), as: UTF8.self).split(separator: "\n")
        let row = try #require(rows.map { $0.split(separator: " ") }.first { $0[0] == name })
        #expect(row.count == 1 + Self.count / Self.block)
        let tokenizer = try tokenizer(name)
        var found: [UInt64] = [], state = Self.offset, line = 0
        try Self.lines { text in
            for token in tokenizer.encode(text) + [-1] {
                withUnsafeBytes(of: token.littleEndian) {
                    for byte in $0 { state = (state ^ UInt64(byte)) &* Self.prime }
                }
            }
            line += 1
            guard line % Self.block == 0 else { return }
            found.append(state)
            state = Self.offset
        }
        let wrong = found.indices.filter { UInt64(row[1 + $0], radix: 16) != found[$0] }
        #expect(found.count == row.count - 1)
        #expect(wrong.isEmpty, "\(wrong.count) blocks of lines differ, the first is \(wrong.first ?? 0)")
    }

    /// FNV-1a, 64 bits.
    private static let offset: UInt64 = 0xcbf2_9ce4_8422_2325, prime: UInt64 = 0x100_0000_01b3
}
