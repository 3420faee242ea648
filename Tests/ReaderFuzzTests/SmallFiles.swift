// SPDX-License-Identifier: Apache-2.0

/// Tokenizers of a few hundred tokens, small enough to be loaded a million times.
enum SmallFiles {
    private static let merges = [("t", "h"), ("th", "e"), ("a", "n"), ("an", "d"), ("i", "n"), ("in", "g")]
    private static let letters = (UInt8(ascii: "!")...UInt8(ascii: "~")).map { String(Unicode.Scalar($0)) }

    static let byteLevelJSON: [UInt8] = {
        let words = letters + ["\u{120}", "\u{10a}"] + merges.map { $0 + $1 }
        let pairs = merges.map { "[\"\($0)\",\"\($1)\"]" }.joined(separator: ",")
        return Array(
            """
            {"version":"1.0","added_tokens":[{"id":\(words.count),"content":"<|end|>","special":true}],
            "normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},
            "post_processor":null,"decoder":{"type":"ByteLevel"},
            "model":{"type":"BPE","unk_token":null,"byte_fallback":false,"ignore_merges":false,
            "vocab":{\(vocabulary(words))},"merges":[\(pairs)]}}
            """.utf8)
    }()

    static let sentencePieceJSON: [UInt8] = {
        let pairs = merges.map { "\"\($0) \($1)\"" }.joined(separator: ",")
        return Array(
            """
            {"added_tokens":[{"id":0,"content":"<unk>","special":true},{"id":1,"content":"<s>","special":true}],
            "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"\u{2581}"},
            {"type":"Replace","pattern":{"String":" "},"content":"\u{2581}"}]},"pre_tokenizer":null,
            "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}}],
            "special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}},
            "model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"vocab":{\(vocabulary(sentencePiece))},"merges":[\(pairs)]}}
            """.utf8)
    }()

    /// The SentencePiece vocabulary as GGUF metadata.
    static let tokenizerGGUF: [UInt8] = {
        var bytes = Array("GGUF".utf8)
        func number<Number: FixedWidthInteger>(_ value: Number) {
            withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
        }
        func text(_ value: String) {
            number(UInt64(value.utf8.count))
            bytes += Array(value.utf8)
        }
        func array(_ key: String, of type: UInt32) {
            text(key)
            number(UInt32(9))
            number(type)
            number(UInt64(sentencePiece.count))
        }
        number(UInt32(3))
        number(UInt64(0))
        number(UInt64(4))
        text("tokenizer.ggml.model")
        number(UInt32(8))
        text("llama")
        array("tokenizer.ggml.tokens", of: 8)
        for token in sentencePiece { text(token) }
        array("tokenizer.ggml.scores", of: 6)
        for index in sentencePiece.indices { number((-Float(index)).bitPattern) }
        array("tokenizer.ggml.token_type", of: 5)
        for (index, token) in sentencePiece.enumerated() {
            number(Int32(index == 0 ? 2 : index < 3 ? 3 : token.hasPrefix("<0x") ? 6 : 1))
        }
        return bytes
    }()

    private static let sentencePiece: [String] = {
        let digits = Array("0123456789ABCDEF")
        let bytes = (0..<256).map { "<0x\(digits[$0 / 16])\(digits[$0 % 16])>" }
        return ["<unk>", "<s>", "</s>"] + bytes + merges.map { $0 + $1 } + letters + ["\u{2581}"]
    }()

    private static func vocabulary(_ words: [String]) -> String {
        words.enumerated().map { index, word in
            let escaped = word == "\"" || word == "\\" ? "\\" + word : word
            return "\"\(escaped)\":\(index)"
        }.joined(separator: ",")
    }
}
