// SPDX-License-Identifier: Apache-2.0

/// Walks forward through the header of a GGUF file; every step is checked against the end of the file.
struct GGUFCursor {
    let file: MappedFile
    private(set) var offset = 0

    init(file: MappedFile, offset: Int = 0) {
        self.file = file
        self.offset = offset
    }

    var remaining: Int { file.bytes.count - offset }

    /// Reads one little-endian integer; `what` names it in the error.
    mutating func integer<Value: FixedWidthInteger>(_: Value.Type, _ what: @autoclosure () -> String)
        throws(GGUFError) -> Value
    {
        let start = offset
        try skip(MemoryLayout<Value>.size, what())
        return Value(littleEndian: file.bytes.loadUnaligned(fromByteOffset: start, as: Value.self))
    }

    /// Reads the length of a string and steps over its bytes; returns where they lie.
    mutating func stringRange(_ what: @autoclosure () -> String) throws(GGUFError) -> Range<Int> {
        let length = try integer(UInt64.self, what())
        let start = offset
        guard let count = Int(exactly: length) else { throw truncated(what()) }
        try skip(count, what())
        return start..<offset
    }

    /// Reads a string that must be UTF-8.
    mutating func string(_ what: @autoclosure () -> String) throws(GGUFError) -> String {
        let range = try stringRange(what())
        guard let text = file.text(in: range) else {
            throw malformed("\(what()) at byte \(range.lowerBound) is not UTF-8")
        }
        return text
    }

    /// Reads a count of things that take at least `minimumBytes` each, which bounds it by what is left of the file.
    mutating func count(minimumBytes: Int, _ what: @autoclosure () -> String) throws(GGUFError) -> Int {
        let value = try integer(UInt64.self, what())
        guard value <= UInt64(remaining / minimumBytes) else {
            throw malformed("the file announces \(value) for \(what()) but has only \(remaining) bytes left")
        }
        return Int(value)
    }

    /// Steps over bytes that must be there.
    mutating func skip(_ count: Int, _ what: @autoclosure () -> String) throws(GGUFError) {
        guard count >= 0, count <= remaining else { throw truncated(what()) }
        offset += count
    }

    func malformed(_ sentence: String) -> GGUFError { GGUFError(path: file.path, reason: .malformed(sentence)) }

    private func truncated(_ what: String) -> GGUFError {
        GGUFError(path: file.path, reason: .truncated(what, offset: offset))
    }
}

extension MappedFile {
    /// The text in a range that was checked to lie in the file, nil where it is not UTF-8.
    func text(in range: Range<Int>) -> String? {
        String(validating: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self)
    }
}
