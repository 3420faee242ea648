// SPDX-License-Identifier: Apache-2.0

/// Cuts a template into tokens, by the rules of jinja2's lexer with `trim_blocks` and `lstrip_blocks`.
struct Lexer {
    var source: [UInt8]
    var offset = 0
    var line = 1
    /// Whether what was read last ended with a newline, so that what follows starts a line.
    private var isLineStart = true
    private var tokens: [Token] = []

    static func tokens(of source: String) throws(JinjaError) -> [Token] {
        var lexer = Lexer(source)
        try lexer.readAll()
        return lexer.tokens
    }

    /// Newlines become `\n`, and the last one is dropped.
    private init(_ source: String) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(source.utf8.count)
        var wasReturn = false
        for byte in source.utf8 {
            if byte != UInt8(ascii: "\n") || !wasReturn { bytes.append(byte == UInt8(ascii: "\r") ? 10 : byte) }
            wasReturn = byte == UInt8(ascii: "\r")
        }
        if bytes.last == 10 { bytes.removeLast() }
        self.source = bytes
    }

    func fail(_ message: String) -> JinjaError { JinjaError(kind: .syntax, message: message, line: line) }

    mutating func add(_ kind: Token.Kind) { tokens.append(Token(kind: kind, line: line)) }

    /// Steps over bytes and counts their lines.
    mutating func advance(to end: Int) {
        for byte in source[offset..<end] where byte == 10 { line += 1 }
        if end > offset { isLineStart = source[end - 1] == 10 }
        offset = end
    }

    func starts(_ text: StaticString, at place: Int) -> Bool {
        place + text.utf8CodeUnitCount <= source.count
            && text.withUTF8Buffer { $0.elementsEqual(source[place..<place + $0.count]) }
    }

    private func find(_ text: StaticString, from start: Int) -> Int? {
        var place = start
        while place + text.utf8CodeUnitCount <= source.count {
            if starts(text, at: place) { return place }
            place += 1
        }
        return nil
    }

    /// The offset after white space.
    func afterSpace(_ start: Int) -> Int {
        guard start < source.count else { return start }
        var place = start
        for scalar in String(decoding: source[start...].prefix { $0 < 33 || $0 > 127 }, as: UTF8.self).unicodeScalars {
            guard scalar.isPythonSpace else { break }
            place += UTF8.width(scalar)
        }
        return place
    }
}

// Text between tags.
extension Lexer {
    private mutating func readAll() throws(JinjaError) {
        while offset < source.count {
            guard let start = nextTag else {
                addData(offset..<source.count)
                advance(to: source.count)
                break
            }
            let sign = start + 2 < source.count && "+-".utf8.contains(source[start + 2]) ? source[start + 2] : nil
            addData(before: start, sign: sign, isTag: source[start + 1] != UInt8(ascii: "{"))
            let inside = start + (sign == nil ? 2 : 3)
            switch source[start + 1] {
            case UInt8(ascii: "#"):
                advance(to: inside)
                try skipComment()
            case UInt8(ascii: "%"):
                if let body = rawBody(inside) {
                    advance(to: body)
                    try readRaw()
                } else {
                    advance(to: inside)
                    add(.blockBegin)
                    try readTag(isBlock: true)
                }
            default:
                advance(to: inside)
                add(.variableBegin)
                try readTag(isBlock: false)
            }
        }
        add(.end)
    }

    private var nextTag: Int? {
        var place = offset
        while place + 1 < source.count {
            if source[place] == UInt8(ascii: "{"), "%{#".utf8.contains(source[place + 1]) { return place }
            place += 1
        }
        return nil
    }

    private mutating func addData(_ range: Range<Int>) {
        if !range.isEmpty { add(.data(String(decoding: source[range], as: UTF8.self))) }
    }

    /// Adds the text before a tag, without the white space that the tag takes away, and goes to the tag.
    private mutating func addData(before tag: Int, sign: UInt8?, isTag: Bool) {
        let text = MarkedText(Array(source[offset..<tag]))
        if sign == UInt8(ascii: "-") {
            addData(offset..<offset + text.stripped(left: false, \.isPythonSpace).bytes.count)
        } else if sign == nil, isTag {
            let lineStart = text.bytes.lastIndex(of: 10).map { $0 + 1 } ?? 0
            let isBlank = text[lineStart..<text.bytes.count].stripped(\.isPythonSpace).isEmpty
            addData(offset..<(isBlank && (lineStart > 0 || isLineStart) ? offset + lineStart : tag))
        } else {
            addData(offset..<tag)
        }
        advance(to: tag)
    }

    private mutating func skipComment() throws(JinjaError) {
        guard let end = find("#}", from: offset) else { throw fail("a comment is not closed") }
        let sign = end > offset ? source[end - 1] : 0
        advance(to: afterTag(end, sign: sign))
    }

    /// The offset after the end of a tag, a sign being what stands before it.
    func afterTag(_ end: Int, sign: UInt8) -> Int {
        if sign == UInt8(ascii: "-") { return afterSpace(end + 2) }
        let trims = sign != UInt8(ascii: "+") && end + 2 < source.count && source[end + 2] == 10
        return end + (trims ? 3 : 2)
    }

    /// Where the text of a raw block starts, if the block's tag is `raw`.
    private func rawBody(_ inside: Int) -> Int? {
        let word = afterSpace(inside)
        guard starts("raw", at: word) else { return nil }
        let end = afterSpace(word + 3)
        if starts("-%}", at: end) { return afterSpace(end + 3) }
        return starts("%}", at: end) ? end + 2 : nil
    }

    private mutating func readRaw() throws(JinjaError) {
        var search = offset
        while let start = find("{%", from: search) {
            let sign = start + 2 < source.count && "+-".utf8.contains(source[start + 2]) ? source[start + 2] : nil
            let word = afterSpace(start + (sign == nil ? 2 : 3))
            let end = afterSpace(word + 6)
            if starts("endraw", at: word) {
                let hasSign = end < source.count && "+-".utf8.contains(source[end])
                if starts("%}", at: hasSign ? end + 1 : end) {
                    addData(before: start, sign: sign, isTag: true)
                    advance(to: afterTag(hasSign ? end + 1 : end, sign: hasSign ? source[end] : 0))
                    return
                }
            }
            search = start + 2
        }
        throw fail("a raw block is not closed")
    }
}
