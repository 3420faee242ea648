// SPDX-License-Identifier: Apache-2.0

/// Undoes the escapes of a text in a template, which are Python's.
enum StringLiteral {
    /// The text, or nil where an escape names no character.
    static func text(_ bytes: ArraySlice<UInt8>) -> String? {
        var result: [UInt8] = [], rest = bytes
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\"), let next = rest.popFirst() else {
                result.append(byte)
                continue
            }
            switch next {
            case 10: break
            case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): result.append(next)
            case UInt8(ascii: "a"): result.append(7)
            case UInt8(ascii: "b"): result.append(8)
            case UInt8(ascii: "t"): result.append(9)
            case UInt8(ascii: "n"): result.append(10)
            case UInt8(ascii: "v"): result.append(11)
            case UInt8(ascii: "f"): result.append(12)
            case UInt8(ascii: "r"): result.append(13)
            case UInt8(ascii: "x"), UInt8(ascii: "u"), UInt8(ascii: "U"):
                let count = next == UInt8(ascii: "x") ? 2 : next == UInt8(ascii: "u") ? 4 : 8
                guard rest.count >= count, rest.prefix(count).allSatisfy(isHexadecimal),
                    append(String(decoding: rest.prefix(count), as: UTF8.self), radix: 16, to: &result)
                else { return nil }
                rest = rest.dropFirst(count)
            case UInt8(ascii: "0")...UInt8(ascii: "7"):
                let more = rest.prefix(2).prefix { (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0) }
                guard append(String(decoding: [next] + more, as: UTF8.self), radix: 8, to: &result) else { return nil }
                rest = rest.dropFirst(more.count)
            case UInt8(ascii: "N"): return nil
            default: result += [byte, next]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool { Unicode.Scalar(byte).properties.isASCIIHexDigit }

    private static func append(_ digits: String, radix: Int, to bytes: inout [UInt8]) -> Bool {
        guard let value = UInt32(digits, radix: radix), let scalar = Unicode.Scalar(value) else { return false }
        bytes += String(scalar).utf8
        return true
    }
}
