// SPDX-License-Identifier: Apache-2.0

/// A text that knows which of its bytes come from input. What takes texts apart and puts them together keeps the marks;
/// texts are equal when their bytes are. Bytes are always valid UTF-8.
struct MarkedText: Sendable {
    private(set) var bytes: [UInt8]
    /// The ranges of bytes that come from input, in order, none empty, none touching another.
    private(set) var inputs: [Range<Int>]

    init() { (bytes, inputs) = ([], []) }

    init(_ string: String, isInput: Bool = false) { self.init(Array(string.utf8), isInput: isInput) }

    init(_ bytes: [UInt8], isInput: Bool = false) {
        self.bytes = bytes
        inputs = isInput && !bytes.isEmpty ? [0..<bytes.count] : []
    }

    var string: String { String(decoding: bytes, as: UTF8.self) }
    var isEmpty: Bool { bytes.isEmpty }
    var hasInput: Bool { !inputs.isEmpty }
    /// Unicode scalars, which is what Python counts.
    var count: Int { bytes.reduce(0) { $0 + ($1 & 0xc0 == 0x80 ? 0 : 1) } }

    mutating func append(_ other: MarkedText) {
        let offset = bytes.count
        bytes += other.bytes
        for range in other.inputs { mark(offset + range.lowerBound..<offset + range.upperBound) }
    }

    /// Adds text that counts as input if `isInput`.
    mutating func append(_ string: String, isInput: Bool = false) {
        let offset = bytes.count
        bytes += string.utf8
        if isInput { mark(offset..<bytes.count) }
    }

    /// Marks bytes at the end.
    private mutating func mark(_ range: Range<Int>) {
        if range.isEmpty { return }
        if let last = inputs.last, last.upperBound == range.lowerBound {
            inputs[inputs.count - 1] = last.lowerBound..<range.upperBound
        } else {
            inputs.append(range)
        }
    }

    /// A part, by offsets of bytes between scalars.
    subscript(range: Range<Int>) -> MarkedText {
        if range == 0..<bytes.count { return self }
        var part = MarkedText(Array(bytes[range]))
        for input in inputs {
            let common = input.clamped(to: range)
            part.mark(common.lowerBound - range.lowerBound..<common.upperBound - range.lowerBound)
        }
        return part
    }

    /// The text after a change that does not keep places: marked as a whole if any of it was.
    func changed(_ change: (String) -> String) -> MarkedText { MarkedText(change(string), isInput: hasInput) }

    /// The parts in order.
    var pieces: [JinjaPiece] {
        var pieces: [JinjaPiece] = [], end = 0
        func add(_ range: Range<Int>, _ isInput: Bool) {
            guard !range.isEmpty else { return }
            pieces.append(JinjaPiece(text: String(decoding: bytes[range], as: UTF8.self), isInput: isInput))
        }
        for range in inputs {
            add(end..<range.lowerBound, false)
            add(range, true)
            end = range.upperBound
        }
        add(end..<bytes.count, false)
        return pieces
    }
}

extension MarkedText: Hashable {
    static func == (left: MarkedText, right: MarkedText) -> Bool { left.bytes == right.bytes }
    func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
}
