// SPDX-License-Identifier: Apache-2.0

/// Cuts a template into tokens, by the rules of jinja2's lexer with `trim_blocks` and `lstrip_blocks`.
struct Lexer {
    private var source: [UInt8]
    private var offset = 0
    private var line = 1
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

    private func fail(_ message: String) -> JinjaError { JinjaError(kind: .syntax, message: message, line: line) }

    private mutating func add(_ kind: Token.Kind) { tokens.append(Token(kind: kind, line: line)) }

    /// Steps over bytes and counts their lines.
    private mutating func advance(to end: Int) {
        for byte in source[offset..<end] where byte == 10 { line += 1 }
        if end > offset { isLineStart = source[end - 1] == 10 }
        offset = end
    }

    private func starts(_ text: StaticString, at place: Int) -> Bool {
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
    private func afterSpace(_ start: Int) -> Int {
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
    private func afterTag(_ end: Int, sign: UInt8) -> Int {
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

// What stands in tags.
extension Lexer {
    private mutating func readTag(isBlock: Bool) throws(JinjaError) {
        let close: StaticString = isBlock ? "%}" : "}}"
        var brackets: [Symbol] = []
        while offset < source.count {
            if brackets.isEmpty {
                let byte = source[offset]
                let hasSign = (byte == UInt8(ascii: "-") || isBlock && byte == UInt8(ascii: "+"))
                if starts(close, at: hasSign ? offset + 1 : offset) {
                    add(isBlock ? .blockEnd : .variableEnd)
                    let end = hasSign ? offset + 1 : offset
                    let plain = isBlock ? afterTag(end, sign: hasSign ? byte : 0) : end + 2
                    advance(to: !isBlock && hasSign ? afterSpace(end + 2) : plain)
                    return
                }
            }
            try readToken(&brackets)
        }
        throw fail("a tag is not closed")
    }

    private mutating func readToken(_ brackets: inout [Symbol]) throws(JinjaError) {
        let byte = source[offset]
        let space = afterSpace(offset)
        if space > offset { return advance(to: space) }
        if ScalarClass.isDigit(byte) { return try readNumber() }
        if ScalarClass.isName(byte) { return readName() }
        if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") { return try readString(quote: byte) }
        guard
            let (symbol, bytes) = Symbol.spellings.first(where: { source[offset...].starts(with: $0.bytes) })
        else {
            throw fail("the character “\(String(decoding: [byte], as: UTF8.self))” has no meaning here")
        }
        if let closing = symbol.closing { brackets.append(closing) }
        if symbol.isClosing, brackets.popLast() != symbol { throw fail("“\(symbol.rawValue)” closes nothing") }
        add(.symbol(symbol))
        advance(to: offset + bytes.count)
    }

    private mutating func readName() {
        let end = source[offset...].firstIndex { !ScalarClass.isName($0) } ?? source.count
        add(.name(String(decoding: source[offset..<end], as: UTF8.self)))
        advance(to: end)
    }

    private mutating func readNumber() throws(JinjaError) {
        func digits(_ start: Int) -> Int {
            var end = start
            while end < source.count {
                let isJoint = source[end] == UInt8(ascii: "_") && end > start && end + 1 < source.count
                guard ScalarClass.isDigit(source[end]) || isJoint && ScalarClass.isDigit(source[end + 1]) else { break }
                end += 1
            }
            return end
        }
        var end = digits(offset), isWhole = true
        let afterDot = offset > 0 && source[offset - 1] == UInt8(ascii: ".")
        if !afterDot, end + 1 < source.count, source[end] == UInt8(ascii: "."), digits(end + 1) > end + 1 {
            (end, isWhole) = (digits(end + 1), false)
        }
        if !afterDot, end + 1 < source.count, source[end] | 0x20 == UInt8(ascii: "e") {
            let start = "+-".utf8.contains(source[end + 1]) ? end + 2 : end + 1
            if digits(start) > start { (end, isWhole) = (digits(start), false) }
        }
        let text = String(decoding: source[offset..<end].filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
        if isWhole {
            guard let value = Int(text) else { throw fail("the number \(text) is too large") }
            add(.integer(value))
        } else {
            guard let value = Double(text) else { throw fail("“\(text)” is no number") }
            add(.float(value))
        }
        advance(to: end)
    }

    private mutating func readString(quote: UInt8) throws(JinjaError) {
        var end = offset + 1
        while end < source.count, source[end] != quote { end += source[end] == UInt8(ascii: "\\") ? 2 : 1 }
        guard end < source.count else { throw fail("a text is not closed") }
        guard let text = StringLiteral.text(source[offset + 1..<end]) else {
            throw fail("a text has an escape that is no character")
        }
        add(.string(text))
        advance(to: end + 1)
    }
}

/// Classes of bytes in tags. All beyond ASCII counts as letters.
enum ScalarClass {
    static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
    static func isName(_ byte: UInt8) -> Bool {
        isDigit(byte) || byte == UInt8(ascii: "_") || byte > 127
            || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }
}
