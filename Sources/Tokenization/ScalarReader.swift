// SPDX-License-Identifier: Apache-2.0

/// Classifies the scalars of a text. The bytes must be valid UTF-8, and offsets must be those of first bytes.
struct ScalarReader {
    let text: UnsafeBufferPointer<UInt8>
    private let classes = ScalarClass.table

    init(_ text: UnsafeBufferPointer<UInt8>) { self.text = text }

    var end: Int { text.count }

    /// The class of the scalar at an offset and the number of its bytes.
    @inline(__always)
    func scalar(at offset: Int) -> (class: ScalarClass, length: Int) {
        let first = text[offset]
        return first < 0x80 ? (classes[Int(first)], 1) : wideScalar(at: offset, first: first)
    }

    private func wideScalar(at offset: Int, first: UInt8) -> (class: ScalarClass, length: Int) {
        let (value, length) = wideValue(at: offset, first: first)
        return (value < ScalarClass.tableSize ? classes[value] : .other, length)
    }

    /// The value of the scalar at an offset and the number of its bytes.
    @inline(__always)
    func value(at offset: Int) -> (value: Int, length: Int) {
        let first = text[offset]
        return first < 0x80 ? (Int(first), 1) : wideValue(at: offset, first: first)
    }

    @inline(__always)
    private func wideValue(at offset: Int, first: UInt8) -> (value: Int, length: Int) {
        let length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
        var value = Int(first) & (0x7f >> length)
        for index in 1..<length { value = value << 6 | Int(text[offset + index] & 0x3f) }
        return (value, length)
    }

    /// The end of the run of scalars of one class that starts at an offset; the offset itself where there is none.
    @inline(__always)
    func runEnd(of wanted: ScalarClass, from offset: Int) -> Int {
        var offset = offset
        while offset < end {
            let (found, length) = scalar(at: offset)
            guard found == wanted else { break }
            offset += length
        }
        return offset
    }

    /// The class of the scalar at an offset, nil at the end of the text.
    @inline(__always)
    func classIfAny(at offset: Int) -> ScalarClass? { offset < end ? scalar(at: offset).class : nil }
}
