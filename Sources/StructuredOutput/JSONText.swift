// SPDX-License-Identifier: Apache-2.0
import ModelFiles

/// Writes JSON without white space, and with no more escapes than must be.
enum JSONText {
    static func bytes(_ value: JSONValue) -> [UInt8] {
        switch value {
        case .null: Array("null".utf8)
        case .bool(let value): Array((value ? "true" : "false").utf8)
        case .integer(let value): Array(String(value).utf8)
        case .number(let value): Array(value.description.utf8)
        case .string(let text): string(text)
        case .array(let elements):
            Array("[".utf8) + Array(elements.map(bytes).joined(separator: Array(",".utf8))) + Array("]".utf8)
        case .object(let members):
            Array("{".utf8)
                + Array(
                    members.map { string($0.key) + Array(":".utf8) + bytes($0.value) }.joined(
                        separator: Array(",".utf8)))
                + Array("}".utf8)
        }
    }

    private static func string(_ text: String) -> [UInt8] {
        var bytes = Array("\"".utf8)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                bytes += "\\u00\(digits.count < 2 ? "0" : "")\(digits)".utf8
            default: bytes.append(byte)
            }
        }
        return bytes + Array("\"".utf8)
    }

    /// Whether a value is of a type of JSON Schema.
    static func `is`(_ value: JSONValue, _ type: String) -> Bool {
        switch (value, type) {
        case (.null, "null"), (.bool, "boolean"), (.integer, "integer"), (.integer, "number"), (.number, "number"),
            (.string, "string"), (.array, "array"), (.object, "object"):
            true
        default: false
        }
    }
}
