// SPDX-License-Identifier: Apache-2.0

// Python's `%` on texts, and `str.format`.
extension Interpreter {
    /// `format % value`.
    func formatted(_ format: MarkedText, _ value: Value) throws(JinjaError) -> MarkedText {
        var arguments: [Value] = [value]
        if case .sequence(let sequence) = value, sequence.kind == .tuple { arguments = sequence.items }
        var text = MarkedText(), rest = format, next = arguments[...]
        let percent = MarkedText("%")
        while let start = rest.firstOffset(of: percent) {
            text.append(rest[0..<start])
            guard let conversion = Conversion(rest, at: start + 1) else { throw fail("the format is incomplete") }
            rest = rest[conversion.end..<rest.bytes.count]
            try charge(1 + rest.bytes.count >> 6)
            if conversion.letter == UInt8(ascii: "%") {
                text.append("%")
                continue
            }
            var argument: Value?
            if let key = conversion.key {
                guard case .dictionary(let dictionary) = value else { throw fail("the format needs a dictionary") }
                argument = dictionary[key]
            } else {
                argument = next.popFirst()
            }
            guard let argument else { throw fail("the format needs more values") }
            text.append(try converted(argument, conversion))
        }
        var isMapping = false
        if case .dictionary = value { isMapping = true }
        guard next.isEmpty || isMapping else { throw fail("the format takes fewer values") }
        text.append(rest)
        return text
    }

    private func converted(_ value: Value, _ conversion: Conversion) throws(JinjaError) -> MarkedText {
        switch conversion.letter {
        case UInt8(ascii: "s"), UInt8(ascii: "r"):
            var text = MarkedText()
            if conversion.letter == UInt8(ascii: "s") {
                text = try self.text(of: value)
            } else {
                try ValueWriter.write(value, to: &text, in: self)
            }
            if let precision = conversion.precision, text.count > precision {
                text = text[0..<text.scalarOffsets[precision]]
            }
            return padded(text, conversion.width, left: conversion.flags.contains("-"))
        case UInt8(ascii: "d"), UInt8(ascii: "i"), UInt8(ascii: "x"), UInt8(ascii: "X"), UInt8(ascii: "o"):
            guard let integer = value.integer ?? value.number.flatMap({ Int(exactly: $0.rounded(.towardZero)) }) else {
                throw fail("the format needs a whole number, not \(value.typeName)")
            }
            let letter = conversion.letter == UInt8(ascii: "i") ? "d" : String(Unicode.Scalar(conversion.letter))
            return MarkedText(PythonText.number(conversion.specification("l" + letter), integer))
        case UInt8(ascii: "f"), UInt8(ascii: "F"), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "g"),
            UInt8(ascii: "G"):
            guard let number = value.number else { throw fail("the format needs a number, not \(value.typeName)") }
            return MarkedText(
                PythonText.number(conversion.specification(String(Unicode.Scalar(conversion.letter))), number))
        default: throw fail("the format has an unknown conversion")
        }
    }

    func padded(_ text: MarkedText, _ width: Int, left: Bool) -> MarkedText {
        let space = MarkedText(String(repeating: " ", count: max(0, width - text.count)))
        return MarkedText.joined(left ? [text, space] : [space, text], by: MarkedText())
    }

    /// `format.format(…)`, with fields by place and name and no attributes; of specifications those of `%`.
    func formatted(_ format: MarkedText, _ passed: CallArguments) throws(JinjaError) -> MarkedText {
        var text = MarkedText(), bytes = format.bytes[...], place = 0
        while let byte = bytes.first {
            let next = bytes.dropFirst().first
            if byte == UInt8(ascii: "{") || byte == UInt8(ascii: "}") {
                if next == byte {
                    text.append(String(Unicode.Scalar(byte)))
                    bytes = bytes.dropFirst(2)
                    continue
                }
                guard byte == UInt8(ascii: "{"), let end = bytes.firstIndex(of: UInt8(ascii: "}")) else {
                    throw fail("the format has a bracket without its other")
                }
                let field = String(decoding: bytes[bytes.startIndex + 1..<end], as: UTF8.self)
                text.append(try self.field(field, passed, &place))
                bytes = bytes[(end + 1)...]
            } else {
                let end = bytes.firstIndex { $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: "}") } ?? bytes.endIndex
                text.append(format[bytes.startIndex..<end])
                bytes = bytes[end...]
            }
            try charge(1)
        }
        return text
    }

    private func field(_ field: String, _ passed: CallArguments, _ place: inout Int) throws(JinjaError) -> MarkedText {
        let parts = field.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let value: Value?
        if parts[0].isEmpty {
            value = place < passed.positional.count ? passed.positional[place] : nil
            place += 1
        } else if let index = Int(parts[0]) {
            value = passed.positional.indices.contains(index) ? passed.positional[index] : nil
        } else {
            value = passed.named.first { $0.name == parts[0] }?.value
        }
        guard let value else { throw fail("the format has no value for “\(parts[0])”") }
        guard parts.count == 2, !parts[1].isEmpty else { return try text(of: value) }
        let letters = parts[1].last.map { $0.isLetter } == true ? String(parts[1]) : parts[1] + (value.text != nil ? "s" : "d")
        guard let conversion = Conversion(MarkedText(letters), at: 0), conversion.end == letters.utf8.count else {
            throw fail("the format “\(parts[1])” is not supported")
        }
        return try converted(value, conversion)
    }
}

/// One conversion of a format, such as `%-10.2f`.
struct Conversion {
    var key: String?
    var flags = ""
    var width = 0
    var precision: Int?
    var letter: UInt8 = 0
    /// The offset after it.
    var end: Int

    /// Reads what stands after the percent sign; nil where it is incomplete or a figure is over 400.
    init?(_ format: MarkedText, at start: Int) {
        let bytes = format.bytes
        end = start
        func current() -> UInt8? { end < bytes.count ? bytes[end] : nil }
        if current() == UInt8(ascii: "("), let close = bytes[end...].firstIndex(of: UInt8(ascii: ")")) {
            key = String(decoding: bytes[end + 1..<close], as: UTF8.self)
            end = close + 1
        }
        while let byte = current(), "-+ 0#".utf8.contains(byte) {
            flags.unicodeScalars.append(Unicode.Scalar(byte))
            end += 1
        }
        func figure() -> Int? {
            var value = 0
            while let byte = current(), ScalarClass.isDigit(byte) {
                value = value * 10 + Int(byte - 48)
                end += 1
                if value > 400 { return nil }
            }
            return value
        }
        guard let width = figure() else { return nil }
        self.width = width
        if current() == UInt8(ascii: ".") {
            end += 1
            guard let precision = figure() else { return nil }
            self.precision = precision
        }
        guard let letter = current() else { return nil }
        self.letter = letter
        end += 1
    }

    /// The conversion in C's words.
    func specification(_ letter: String) -> String {
        let flags = String(Set(flags).sorted())
        return "%" + flags + (width > 0 ? String(width) : "") + (precision.map { ".\($0)" } ?? "") + letter
    }
}
