// SPDX-License-Identifier: Apache-2.0

/// What a token's makers say about the text around it.
struct TokenBounds: OptionSet, Sendable {
    let rawValue: UInt8

    /// It takes the white space before it.
    static let takesSpaceBefore = TokenBounds(rawValue: 1)
    /// It takes the white space after it.
    static let takesSpaceAfter = TokenBounds(rawValue: 2)
    /// It is itself only where no word goes on at either end.
    static let isWord = TokenBounds(rawValue: 4)
}

/// Finds the names of control tokens in what a template's makers wrote: from the left, the longest first, as the `tokenizers`
/// library finds added tokens.
struct ControlTokenFinder: Sendable {
    private struct Name {
        let bytes: [UInt8]
        let token: TokenID
    }

    /// The names by their first byte, longer ones first.
    private let names: [UInt8: [Name]]
    private let bounds: [TokenID: TokenBounds]

    init(_ tokens: [String: TokenID], bounds: [TokenID: TokenBounds]) {
        let all = tokens.map { Name(bytes: Array($0.key.utf8), token: $0.value) }.filter { !$0.bytes.isEmpty }
        names = Dictionary(grouping: all) { $0.bytes[0] }.mapValues { group in
            group.sorted { $0.bytes.count > $1.bytes.count }
        }
        self.bounds = bounds
    }

    /// Takes a prompt apart, in order: bytes of text, none of them empty, and tokens.
    func forEachPart(of prompt: JoinedPrompt, text: (ArraySlice<UInt8>) -> Void, token: (TokenID) -> Void) {
        var taken = 0
        prompt.bytes.withUnsafeBufferPointer { bytes in
            let reader = ScalarReader(bytes)
            func found(_ id: TokenID, at range: Range<Int>) {
                let bounds = bounds[id] ?? [], before = bounds.contains(.takesSpaceBefore)
                let start = max(taken, before ? reader.spacesStart(before: range.lowerBound) : range.lowerBound)
                if taken < start { text(prompt.bytes[taken..<start]) }
                token(id)
                taken = bounds.contains(.takesSpaceAfter) ? reader.spaces(from: range.upperBound).end : range.upperBound
            }
            for part in prompt.parts {
                if let token = part.token { found(token, at: part.range) } else { search(part.range, reader, found) }
            }
        }
        if taken < prompt.bytes.count { text(prompt.bytes[taken...]) }
    }

    private func search(_ range: Range<Int>, _ reader: ScalarReader, _ found: (TokenID, Range<Int>) -> Void) {
        var place = range.lowerBound
        while place < range.upperBound {
            let rest = UnsafeBufferPointer(rebasing: reader.text[place..<range.upperBound])
            guard let name = names[rest[0]]?.first(where: { rest.starts(with: $0.bytes) }) else {
                place += 1
                continue
            }
            let match = place..<place + name.bytes.count
            place = match.upperBound
            // The library does not look for a shorter name where the longest is inside a word.
            if bounds[name.token]?.contains(.isWord) == true, reader.isInsideWord(match) { continue }
            found(name.token, match)
        }
    }
}

/// The bytes of a prompt's pieces, and which of them are a template's or stand for a control token.
struct JoinedPrompt {
    private(set) var bytes: [UInt8] = []
    private(set) var parts: [(range: Range<Int>, token: TokenID?)] = []

    /// Joins pieces.
    ///
    /// - Throws: `TokenizerError.unknownControlToken`.
    init(_ pieces: [PromptPiece], _ controlTokens: [String: TokenID]) throws {
        for piece in pieces {
            let start = bytes.count
            switch piece {
            case .text(let text): bytes += text.utf8
            case .markup(let text):
                bytes += text.utf8
                parts.append((start..<bytes.count, nil))
            case .control(let name):
                guard let token = controlTokens[name] else { throw TokenizerError.unknownControlToken(name) }
                bytes += name.utf8
                parts.append((start..<bytes.count, token))
            }
        }
    }
}

extension ScalarReader {
    /// Where the white space that ends at an offset starts.
    fileprivate func spacesStart(before offset: Int) -> Int {
        var start = offset
        while start > 0, case let previous = scalarStart(before: start), scalar(at: previous).class == .space {
            start = previous
        }
        return start
    }

    /// Whether a word goes on at either end of a range.
    fileprivate func isInsideWord(_ range: Range<Int>) -> Bool {
        range.lowerBound > 0 && isWordCharacter(at: scalarStart(before: range.lowerBound))
            || range.upperBound < end && isWordCharacter(at: range.upperBound)
    }

    private func scalarStart(before offset: Int) -> Int {
        var start = offset - 1
        while start > 0, text[start] & 0xc0 == 0x80 { start -= 1 }
        return start
    }

    /// `\w` of Unicode's technical standard 18.
    private func isWordCharacter(at offset: Int) -> Bool {
        guard let properties = Unicode.Scalar(UInt32(value(at: offset).value))?.properties else { return false }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return properties.isAlphabetic || properties.isJoinControl
        }
    }
}
