// SPDX-License-Identifier: Apache-2.0

/// The `hex` text form of `bytea`: `\x` and two digits per byte.
enum Hexadecimal {
    private static let digits = Array("0123456789abcdef".utf8)

    static func byteaText(_ bytes: [UInt8]) -> String {
        String(unsafeUninitializedCapacity: 2 + 2 * bytes.count) { buffer in
            buffer[0] = UInt8(ascii: "\\")
            buffer[1] = UInt8(ascii: "x")
            for (index, byte) in bytes.enumerated() {
                buffer[2 + 2 * index] = digits[Int(byte >> 4)]
                buffer[3 + 2 * index] = digits[Int(byte & 15)]
            }
            return 2 + 2 * bytes.count
        }
    }

    /// The bytes, or nil where `text` is not in the hex form.
    static func bytes(fromByteaText text: UnsafeRawBufferPointer) -> [UInt8]? {
        guard text.count >= 2, text.count.isMultiple(of: 2), text[0] == UInt8(ascii: "\\"), text[1] == UInt8(ascii: "x")
        else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 2 - 1)
        for index in stride(from: 2, to: text.count, by: 2) {
            guard let high = value(text[index]), let low = value(text[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x41...0x46: digit - 0x37
        case 0x61...0x66: digit - 0x57
        default: nil
        }
    }
}
