// SPDX-License-Identifier: Apache-2.0

/// Reads JSON of a grammar byte by byte. Written on one line: a space may follow a colon or a comma, and no other white
/// space stands outside of texts.
struct Automaton: Sendable {
    let grammar: Grammar

    /// Ways to read one text at most; further ones are dropped, which allows less and never more.
    static let maximumReadings = 32

    /// All ways to read nothing.
    var start: [Reading] {
        var readings: [Reading] = []
        append(Reading(top: nil, below: nil), value: Frame(grammar.root, .start), in: nil, to: &readings)
        return readings
    }

    /// All ways to read the text and a byte.
    func advance(_ readings: [Reading], _ byte: UInt8, into result: inout [Reading]) {
        result.removeAll(keepingCapacity: true)
        for reading in readings { step(reading, byte, &result) }
    }

    /// Whether the text may end here.
    func isComplete(_ readings: [Reading]) -> Bool {
        readings.contains { reading in
            guard let top = reading.top else { return true }
            return reading.below == nil && mayEnd(top)
        }
    }

    func append(_ reading: Reading, to result: inout [Reading]) {
        if result.isEmpty || result.count < Self.maximumReadings && !result.contains(reading) { result.append(reading) }
    }

    /// Adds the ways to begin a value inside of a frame, none where it would nest too deep.
    func append(_ reading: Reading, value: Frame, in frame: Frame?, to result: inout [Reading]) {
        let node = Int(value.node)
        func add(_ node: Int) {
            let value = Frame(node, .start, a: Int(value.a))
            let depth = reading.depth + (frame == nil ? 0 : 1)
            guard grammar.fits(node, at: depth) else { return }
            append(frame.map { reading.pushing(value, in: $0) } ?? Reading(top: value, below: nil), to: &result)
        }
        if case .any(let alternatives) = grammar.nodes[node] { alternatives.forEach(add) } else { add(node) }
    }

    func step(_ reading: Reading, _ byte: UInt8, _ result: inout [Reading]) {
        guard let top = reading.top else { return }
        switch top.phase {
        case .start: begin(top, reading, byte, &result)
        case .text, .textEscape, .textUnicode, .textBytes: text(top, reading, byte, &result)
        case .amount, .amountFraction: amount(top, reading, byte, &result)
        case .pattern: pattern(top, reading, byte, &result)
        case .minus, .zero, .digits, .point, .fraction, .integer, .literal: scalar(top, reading, byte, &result)
        case .objectOpen, .objectNext, .objectKey, .objectColon, .objectValue: object(top, reading, byte, &result)
        case .mapOpen, .mapNext, .mapColon, .mapValue: map(top, reading, byte, &result)
        case .arrayOpen, .arrayItem: array(top, reading, byte, &result)
        }
    }

    /// Whether a value may be over without a byte that says so.
    func mayEnd(_ top: Frame) -> Bool {
        switch (top.phase, node(top)) {
        case (.zero, _), (.digits, _), (.fraction, _): true
        case (_, .amount(let range)): amountMayEnd(top, range)
        case (.integer, .integer(let range)): top.integerPrefix.isNumber(in: range)
        case (.literal, .literals(let texts)):
            texts.contains { $0.count == Int(top.a) && $0.elementsEqual(texts[Int(top.b)].prefix(Int(top.a))) }
        default: false
        }
    }

    func node(_ frame: Frame) -> Grammar.Node {
        frame.node == Frame.keyNode ? .string(least: 0, most: nil) : grammar.nodes[Int(frame.node)]
    }

    private func begin(_ top: Frame, _ reading: Reading, _ byte: UInt8, _ result: inout [Reading]) {
        if byte == UInt8(ascii: " "), top.a == 1 {
            return append(reading.replacing(top.with(.start, a: 0, b: 0)), to: &result)
        }
        func become(_ phase: Frame.Phase, a: Int = 0, b: UInt64 = 0) {
            append(reading.replacing(top.with(phase, a: a, b: b)), to: &result)
        }
        switch (node(top), byte) {
        case (.string, UInt8(ascii: "\"")): become(.text)
        case (.pattern, UInt8(ascii: "\"")): become(.pattern)
        case (.number, UInt8(ascii: "-")): become(.minus)
        case (.number, UInt8(ascii: "0")): become(.zero)
        case (.number, UInt8(ascii: "1")...UInt8(ascii: "9")): become(.digits, a: 1)
        case (.amount, _):
            // Without a phase of its own the start is an empty whole part.
            amount(top.with(.amount, a: 0, b: 0), reading, byte, &result)
        case (.integer(let range), _):
            guard let prefix = IntegerPrefix().appending(byte, in: range) else { return }
            var frame = top.with(.integer, a: 0, b: 0)
            frame.integerPrefix = prefix
            append(reading.replacing(frame), to: &result)
        case (.literals(let texts), _):
            guard let first = texts.firstIndex(where: { $0.first == byte }) else { return }
            literal(top.with(.literal, a: 1, b: UInt64(first)), reading, &result)
        case (.object(let properties, _), UInt8(ascii: "{")):
            become(.objectOpen, b: properties.count == 64 ? .max : 1 << UInt64(properties.count) - 1)
        case (.map, UInt8(ascii: "{")): become(.mapOpen)
        case (.array, UInt8(ascii: "[")): become(.arrayOpen)
        default: return
        }
    }

    /// A literal that no other continues is over with its last byte.
    private func literal(_ frame: Frame, _ reading: Reading, _ result: inout [Reading]) {
        guard case .literals(let texts) = node(frame) else { return }
        let length = Int(frame.a), start = texts[Int(frame.b)].prefix(length)
        let isOpen = texts.contains { $0.count > length && $0.starts(with: start) }
        append(isOpen ? reading.replacing(frame) : reading.popped, to: &result)
    }

    private func scalar(_ top: Frame, _ reading: Reading, _ byte: UInt8, _ result: inout [Reading]) {
        // The value may be over, and the byte belong to what is around it.
        if mayEnd(top) { step(reading.popped, byte, &result) }
        let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), count = Int(top.a)
        func become(_ phase: Frame.Phase, a: Int = 0) {
            append(reading.replacing(top.with(phase, a: a, b: 0)), to: &result)
        }
        switch top.phase {
        case .minus where byte == UInt8(ascii: "0"): become(.zero)
        case .minus where isDigit: become(.digits, a: 1)
        case .digits where isDigit && count < 15: become(.digits, a: count + 1)
        case .zero where byte == UInt8(ascii: "."), .digits where byte == UInt8(ascii: "."): become(.point)
        case .point where isDigit: become(.fraction, a: 1)
        case .fraction where isDigit && count < 15: become(.fraction, a: count + 1)
        case .integer:
            guard case .integer(let range) = node(top), let next = top.integerPrefix.appending(byte, in: range) else {
                return
            }
            var frame = top
            frame.integerPrefix = next
            append(reading.replacing(frame), to: &result)
        case .literal:
            guard case .literals(let texts) = node(top) else { return }
            let start = texts[Int(top.b)].prefix(count)
            let next = texts.firstIndex { $0.count > count && $0[count] == byte && $0.starts(with: start) }
            if let next { literal(top.with(.literal, a: count + 1, b: UInt64(next)), reading, &result) }
        default: return
        }
    }

    private func pattern(_ top: Frame, _ reading: Reading, _ byte: UInt8, _ result: inout [Reading]) {
        guard case .pattern(let table) = node(top) else { return }
        if let next = table.after(Int(top.a), byte) {
            append(reading.replacing(top.with(.pattern, a: next, b: 0)), to: &result)
        } else if byte == UInt8(ascii: "\""), table.mayEnd(Int(top.a)) {
            append(reading.popped, to: &result)
        }
    }

    private func text(_ top: Frame, _ reading: Reading, _ byte: UInt8, _ result: inout [Reading]) {
        guard case .string(let least, let most) = node(top) else { return }
        let count = Int(top.a)
        // Beyond the least number of characters their number matters only where there is a most.
        let next = most == nil ? min(count + 1, least) : count + 1, hasRoom = most.map { count < $0 } ?? true
        func become(_ phase: Frame.Phase, a: Int, b: UInt64 = 0) {
            append(reading.replacing(top.with(phase, a: a, b: b)), to: &result)
        }
        switch top.phase {
        case .text where byte == UInt8(ascii: "\""): if count >= least { append(reading.popped, to: &result) }
        case .text where byte == UInt8(ascii: "\\"): if hasRoom { become(.textEscape, a: count) }
        case .text where (0x20...0x7f).contains(byte): if hasRoom { become(.text, a: next) }
        case .text:
            if hasRoom, let missing = UTF8Bytes.missing(after: byte) { become(.textBytes, a: count, b: missing) }
        case .textBytes:
            let missing = top.missing
            guard missing.next.contains(byte) else { return }
            if missing.count == 1 { return become(.text, a: next) }
            become(.textBytes, a: count, b: Frame.missing(missing.count - 1, 0x80...0xbf))
        case .textEscape where byte == UInt8(ascii: "u"): become(.textUnicode, a: count)
        case .textEscape: if "\"\\/bfnrt".utf8.contains(byte) { become(.text, a: next) }
        default:
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else { return }
            let (value, digits) = top.hexadecimal
            // Halves of surrogate pairs, D800 to DFFF, are no characters.
            if digits == 1, value == 0xd, digit >= 8 { return }
            if digits == 3 { return become(.text, a: next) }
            become(.textUnicode, a: count, b: (value << 4 | UInt64(digit)) << 8 | UInt64(digits + 1))
        }
    }
}

/// The bytes of characters beyond ASCII (Unicode 16, table 3-7).
enum UTF8Bytes {
    /// What is missing after a first byte, as ``Frame`` keeps it; nil where no character starts so.
    static func missing(after first: UInt8) -> UInt64? {
        switch first {
        case 0xc2...0xdf: Frame.missing(1, 0x80...0xbf)
        case 0xe0: Frame.missing(2, 0xa0...0xbf)
        case 0xed: Frame.missing(2, 0x80...0x9f)
        case 0xe1...0xef: Frame.missing(2, 0x80...0xbf)
        case 0xf0: Frame.missing(3, 0x90...0xbf)
        case 0xf1...0xf3: Frame.missing(3, 0x80...0xbf)
        case 0xf4: Frame.missing(3, 0x80...0x8f)
        default: nil
        }
    }
}
