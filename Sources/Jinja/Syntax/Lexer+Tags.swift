// SPDX-License-Identifier: Apache-2.0

// What stands in tags.
extension Lexer {
    mutating func readTag(isBlock: Bool) throws(JinjaError) {
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
