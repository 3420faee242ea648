// SPDX-License-Identifier: Apache-2.0

/// What is wrong with a JSON text, and at which byte.
public struct JSONError: Error, Equatable, CustomStringConvertible {
    let sentence: String
    let offset: Int

    /// The sentence and the place.
    public var description: String { "\(sentence) (byte \(offset))" }
}

/// Reads one JSON text (RFC 8259) from untrusted bytes. Memory is bounded by a multiple of their number, the stack by
/// ``maximumDepth``.
struct JSONReader {
    /// Arrays and objects within one another; no known model file has more than ten.
    static let maximumDepth = 64

    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    private init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The value that `bytes` spell out; white space may surround it.
    static func read(_ bytes: UnsafeRawBufferPointer) throws(JSONError) -> JSONValue {
        var reader = JSONReader(bytes)
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.offset == bytes.count else { throw reader.error("text goes on after the value") }
        return value
    }

    private func error(_ sentence: String) -> JSONError { JSONError(sentence: sentence, offset: offset) }

    private var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { offset += 1 }
    }

    /// Steps over a byte if it comes next.
    private mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        offset += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        guard depth < Self.maximumDepth else { throw error("values nest more than \(Self.maximumDepth) deep") }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return .object(try object(depth: depth))
        case UInt8(ascii: "["): return .array(try array(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case nil: throw error("the text ends where a value is needed")
        default: return try number()
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let end = offset + word.utf8CodeUnitCount
        guard end <= bytes.count, word.withUTF8Buffer({ $0.elementsEqual(bytes[offset..<end]) }) else {
            throw error("this is no value")
        }
        offset = end
        return value
    }

    private mutating func array(depth: Int) throws(JSONError) -> [JSONValue] {
        offset += 1
        var elements: [JSONValue] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return elements }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if take(UInt8(ascii: "]")) { return elements }
            guard take(UInt8(ascii: ",")) else { throw error("an array needs a comma or its end here") }
        }
    }

    private mutating func object(depth: Int) throws(JSONError) -> [JSONValue.Member] {
        offset += 1
        var members: [JSONValue.Member] = []
        skipSpace()
        if take(UInt8(ascii: "}")) { return members }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw error("an object needs a key here") }
            let key = try string()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw error("a key needs a colon after it") }
            members.append(JSONValue.Member(key: key, value: try value(depth: depth + 1)))
            skipSpace()
            if take(UInt8(ascii: "}")) { return members }
            guard take(UInt8(ascii: ",")) else { throw error("an object needs a comma or its end here") }
        }
    }
}

extension JSONReader {
    /// Reads digits by the grammar, so that what `Int` and `Double` accept beyond it does not pass.
    private mutating func number() throws(JSONError) -> JSONValue {
        let start = offset
        _ = take(UInt8(ascii: "-"))
        if !take(UInt8(ascii: "0")) { try digits() }
        var whole = true
        if take(UInt8(ascii: ".")) {
            whole = false
            try digits()
        }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            whole = false
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try digits()
        }
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        if whole, let value = Int(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else { throw error("the number is too large") }
        return .number(value)
    }

    private mutating func digits() throws(JSONError) {
        let start = offset
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { offset += 1 }
        guard offset > start else { throw error("this is no value") }
    }

    private mutating func string() throws(JSONError) -> String {
        offset += 1
        let start = offset
        while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { offset += 1 }
        var text = Array(bytes[start..<offset])
        while !take(UInt8(ascii: "\"")) {
            guard let byte = next else { throw error("the text ends inside a string") }
            guard byte >= 0x20 else { throw error("a string holds a bare control character") }
            offset += 1
            if byte == UInt8(ascii: "\\") { try escape(to: &text) } else { text.append(byte) }
        }
        guard let string = String(validating: text, as: UTF8.self) else { throw error("a string is not UTF-8") }
        return string
    }

    private mutating func escape(to text: inout [UInt8]) throws(JSONError) {
        guard let byte = next else { throw error("the text ends inside a string") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text.append(contentsOf: String(try escapedScalar()).utf8)
        default: throw error("a string holds an unknown escape")
        }
    }

    /// A `\u` escape, or two that are a surrogate pair.
    private mutating func escapedScalar() throws(JSONError) -> Character {
        let unit = try hexadecimal()
        if let scalar = Unicode.Scalar(UInt32(unit)) { return Character(scalar) }
        guard unit < 0xdc00, take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else {
            throw error("half a surrogate pair")
        }
        let low = try hexadecimal()
        let value = 0x10000 + (UInt32(unit) & 0x3ff) << 10 + UInt32(low) & 0x3ff
        guard (0xdc00...0xdfff).contains(low), let scalar = Unicode.Scalar(value) else {
            throw error("half a surrogate pair")
        }
        return Character(scalar)
    }

    private mutating func hexadecimal() throws(JSONError) -> UInt16 {
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw error("an escape needs four hexadecimal digits")
            }
            value = value << 4 | UInt16(digit)
            offset += 1
        }
        return value
    }
}
