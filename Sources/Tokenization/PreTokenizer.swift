// SPDX-License-Identifier: Apache-2.0

/// How a family of tokenizers splits text into words before byte pairs are merged. Raw values are the names that
/// GGUF files use under `tokenizer.ggml.pre`.
///
/// Each family is published as a regular expression; here each is a scanner that finds the same matches. The
/// expressions, with `C` for `'s|'t|'re|'ve|'m|'ll|'d`:
/// - gpt-2: `C| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
/// - smollm: first each `\p{N}` is split off, then gpt-2 on what lies between
/// - qwen2: `(?i:C)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
/// - llama-bpe: as qwen2, with `\p{N}{1,3}`
/// - tekken: see its scanner
enum PreTokenizer: String, CaseIterable, Sendable {
    case gpt2 = "gpt-2"
    case smollm
    case qwen2
    case llamaBPE = "llama-bpe"
    case tekken

    /// Calls `body` with the byte ranges of all words, in order. They cover the text without gaps.
    ///
    /// - Parameter text: valid UTF-8.
    @inline(__always)
    func forEachWord(in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
        let reader = ScalarReader(text)
        var start = 0
        while start < reader.end {
            let end = wordEnd(reader, from: start)
            body(start..<end)
            start = end
        }
    }

    @inline(__always)
    private func wordEnd(_ reader: ScalarReader, from start: Int) -> Int {
        switch self {
        case .gpt2: reader.gpt2WordEnd(from: start, splitsNumbersOff: false)
        case .smollm: reader.gpt2WordEnd(from: start, splitsNumbersOff: true)
        case .qwen2: reader.qwenWordEnd(from: start, digits: 1)
        case .llamaBPE: reader.qwenWordEnd(from: start, digits: 3)
        case .tekken: reader.tekkenWordEnd(from: start)
        }
    }
}

/// ASCII characters that the expressions name.
private enum Byte {
    static let newline = UInt8(ascii: "\n")
    static let carriageReturn = UInt8(ascii: "\r")
    static let space = UInt8(ascii: " ")
    static let apostrophe = UInt8(ascii: "'")
}

extension ScalarReader {
    /// The end of the gpt-2 match that starts at an offset.
    ///
    /// With `splitsNumbersOff`, every number is a word of its own and ends the text for what stands before it.
    fileprivate func gpt2WordEnd(from start: Int, splitsNumbersOff: Bool) -> Int {
        if text[start] == Byte.apostrophe, let end = contractionEnd(from: start, anyCase: false) { return end }
        let (first, length) = scalar(at: start)
        if first == .number && splitsNumbersOff { return start + length }
        if first != .space { return runEnd(of: first, from: start + length) }
        if text[start] == Byte.space, let second = classIfAny(at: start + 1), second != .space,
            !(second == .number && splitsNumbersOff)
        {
            return runEnd(of: second, from: start + 1)
        }
        let run = spaces(from: start)
        if splitsNumbersOff && classIfAny(at: run.end) == .number { return run.end }
        return spacesEnd(run, from: start)
    }

    /// The end of the qwen2 or llama-bpe match that starts at an offset; `digits` is the most numbers in a word.
    fileprivate func qwenWordEnd(from start: Int, digits: Int) -> Int {
        if text[start] == Byte.apostrophe, let end = contractionEnd(from: start, anyCase: true) { return end }
        let (first, length) = scalar(at: start)
        let second = classIfAny(at: start + length)
        switch first {
        case .letter:
            return runEnd(of: .letter, from: start + length)
        case .number:
            return numbersEnd(from: start + length, atMost: digits - 1)
        case .other:
            if second == .letter { return runEnd(of: .letter, from: start + length) }
            return newlinesEnd(from: runEnd(of: .other, from: start + length))
        case .space:
            if second == .letter && !isNewline(at: start) { return runEnd(of: .letter, from: start + length) }
            if second == .other && text[start] == Byte.space {
                return newlinesEnd(from: runEnd(of: .other, from: start + 1))
            }
            let run = spaces(from: start)
            return run.newlineEnd ?? spacesEnd(run, from: start)
        }
    }

    /// A run of white space: its end, where its last scalar starts, and the end of its last newline if it has one.
    struct Spaces {
        var end: Int
        var lastStart: Int
        var newlineEnd: Int?
    }

    func spaces(from start: Int) -> Spaces {
        var run = Spaces(end: start, lastStart: start)
        while run.end < end {
            let (found, length) = scalar(at: run.end)
            guard found == .space else { break }
            run.lastStart = run.end
            run.end += length
            if isNewline(at: run.lastStart) { run.newlineEnd = run.end }
        }
        return run
    }

    /// The end of `\s+(?!\S)|\s+`: before a word, the last space of several is left to the word.
    func spacesEnd(_ run: Spaces, from start: Int) -> Int {
        run.end == end || run.lastStart == start ? run.end : run.lastStart
    }

    func isNewline(at offset: Int) -> Bool {
        text[offset] == Byte.newline || text[offset] == Byte.carriageReturn
    }

    private func newlinesEnd(from offset: Int) -> Int {
        var offset = offset
        while offset < end && isNewline(at: offset) { offset += 1 }
        return offset
    }

    private func numbersEnd(from offset: Int, atMost limit: Int) -> Int {
        var offset = offset
        for _ in 0..<limit where offset < end {
            let (found, length) = scalar(at: offset)
            guard found == .number else { break }
            offset += length
        }
        return offset
    }

    /// The end of an English contraction that starts with the apostrophe at an offset.
    private func contractionEnd(from start: Int, anyCase: Bool) -> Int? {
        func letter(_ index: Int) -> UInt8 {
            guard start + index < end else { return 0 }
            let byte = text[start + index]
            return anyCase && UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte ? byte | 0x20 : byte
        }
        switch (letter(1), letter(2)) {
        case (UInt8(ascii: "s"), _), (UInt8(ascii: "t"), _), (UInt8(ascii: "m"), _), (UInt8(ascii: "d"), _):
            return start + 2
        case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
            (UInt8(ascii: "l"), UInt8(ascii: "l")):
            return start + 3
        case (0xc5, 0xbf) where anyCase:
            // U+017F, the long s, is an s where case is ignored.
            return start + 3
        default:
            return nil
        }
    }
}
