// SPDX-License-Identifier: Apache-2.0

/// The printable stand-ins for bytes in which byte-level vocabularies are written (from GPT-2).
///
/// Printable Latin-1 characters stand for themselves; the other 68 bytes, in order, are U+0100 and up.
enum ByteAlphabet {
    private static let standsForItself: [ClosedRange<UInt8>] = [0x21...0x7e, 0xa1...0xac, 0xae...0xff]

    /// The byte that each scalar below 0x144 stands for, nil for those that stand for none.
    private static let byteOfScalar: [UInt8?] = {
        var table = [UInt8?](repeating: nil, count: 0x144)
        var next = 0x100
        for byte in UInt8.min...UInt8.max {
            if standsForItself.contains(where: { $0.contains(byte) }) {
                table[Int(byte)] = byte
            } else {
                table[next] = byte
                next += 1
            }
        }
        return table
    }()

    /// Adds the bytes that a token's text stands for.
    ///
    /// - Returns: false where a character is outside the alphabet; then nothing is added.
    static func append(_ text: Substring, to bytes: inout [UInt8]) -> Bool {
        let start = bytes.count
        for scalar in text.unicodeScalars {
            guard scalar.value < 0x144, let byte = byteOfScalar[Int(scalar.value)] else {
                bytes.removeSubrange(start...)
                return false
            }
            bytes.append(byte)
        }
        return true
    }
}
