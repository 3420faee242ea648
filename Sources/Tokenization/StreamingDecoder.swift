// SPDX-License-Identifier: Apache-2.0

/// Turns tokens into text as they come. What it returns never ends inside a character's bytes, and all of it joined is
/// what decoding all tokens at once gives.
public struct StreamingDecoder: Sendable {
    private let tokenizer: Tokenizer
    private var isAtStart = true
    /// The start of a character whose other bytes have not come yet, at most 3 bytes.
    private var pending: [UInt8] = []

    /// Starts with nothing decoded.
    public init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

    /// Takes one token.
    ///
    /// - Returns: the text that is certain now; invalid bytes in it are U+FFFD.
    public mutating func append(_ token: TokenID) -> String {
        var bytes = tokenizer.vocabulary.bytes(of: token)
        if isAtStart, let first = bytes.first {
            isAtStart = false
            bytes = bytes.dropFirst(tokenizer.addedSpaces(first))
        }
        pending += bytes
        let whole = pending.count - Self.unfinishedLength(pending)
        let text = String(decoding: pending[..<whole], as: UTF8.self)
        pending.removeSubrange(..<whole)
        return text
    }

    /// Ends the text.
    ///
    /// - Returns: U+FFFD where a character was left unfinished, else nothing.
    public mutating func finish() -> String {
        defer { pending = [] }
        return String(decoding: pending, as: UTF8.self)
    }

    /// The number of bytes at the end that start a character and may still be completed (Unicode 16, table 3-7).
    private static func unfinishedLength(_ bytes: [UInt8]) -> Int {
        for length in 1...3 where length <= bytes.count {
            let tail = bytes.suffix(length)
            let first = tail[tail.startIndex]
            // A continuation byte: the character starts further left.
            if 0x80...0xbf ~= first { continue }
            return isUnfinished(first, second: tail.dropFirst().first, length: length) ? length : 0
        }
        return 0
    }

    private static func isUnfinished(_ first: UInt8, second: UInt8?, length: Int) -> Bool {
        let (needed, seconds): (Int, ClosedRange<UInt8>)
        switch first {
        case 0xc2...0xdf: (needed, seconds) = (2, 0x80...0xbf)
        case 0xe0: (needed, seconds) = (3, 0xa0...0xbf)
        case 0xed: (needed, seconds) = (3, 0x80...0x9f)
        case 0xe1...0xef: (needed, seconds) = (3, 0x80...0xbf)
        case 0xf0: (needed, seconds) = (4, 0x90...0xbf)
        case 0xf1...0xf3: (needed, seconds) = (4, 0x80...0xbf)
        case 0xf4: (needed, seconds) = (4, 0x80...0x8f)
        default: return false
        }
        return length < needed && second.map(seconds.contains) ?? true
    }
}
