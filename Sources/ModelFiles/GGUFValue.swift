// SPDX-License-Identifier: Apache-2.0

/// The types of metadata values; raw values are those of the format.
enum GGUFValueType: UInt32 {
    case uint8 = 0
    case int8 = 1
    case uint16 = 2
    case int16 = 3
    case uint32 = 4
    case int32 = 5
    case float32 = 6
    case bool = 7
    case string = 8
    case array = 9
    case uint64 = 10
    case int64 = 11
    case float64 = 12

    /// Bytes of one value, nil where that depends on the value.
    var fixedSize: Int? {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        case .string, .array: nil
        }
    }

    /// The fewest bytes one value can take: a string has a length, an array a type and a count.
    var minimumSize: Int { fixedSize ?? (self == .string ? 8 : 12) }
}

/// Where a metadata value lies in the file.
///
/// Values are walked and checked once, when the file is opened, and decoded when asked for. So memory does not depend
/// on what the file announces.
struct GGUFValue {
    /// The type of the value, or of the elements where it is an array.
    let type: GGUFValueType
    /// The number of elements of an array, nil for a single value.
    let count: Int?
    /// The offset in bytes of the value, or of the first element.
    let offset: Int

    /// The type in words, for messages.
    var typeName: String { count == nil ? "a \(type) value" : "an array of \(type)" }
}

extension GGUFCursor {
    /// No known key nests arrays; the limit keeps a hostile file from exhausting the stack.
    private static let maximumNesting = 4

    /// Reads the type of a value and steps over it, checking all of it.
    mutating func value(key: String) throws(GGUFError) -> GGUFValue {
        let type = try valueType(key)
        guard type == .array else {
            let start = offset
            try skipValue(type, key: key, depth: 0)
            return GGUFValue(type: type, count: nil, offset: start)
        }
        let (element, count) = try arrayHeader(key)
        let start = offset
        try skipElements(element, count: count, key: key, depth: 1)
        return GGUFValue(type: element, count: count, offset: start)
    }

    private mutating func valueType(_ key: String) throws(GGUFError) -> GGUFValueType {
        let raw = try integer(UInt32.self, "the type of the key “\(key)”")
        guard let type = GGUFValueType(rawValue: raw) else {
            throw malformed("the key “\(key)” has the unknown type \(raw)")
        }
        return type
    }

    private mutating func arrayHeader(_ key: String) throws(GGUFError) -> (GGUFValueType, Int) {
        let type = try valueType(key)
        return (type, try count(minimumBytes: type.minimumSize, "the elements of the key “\(key)”"))
    }

    private mutating func skipElements(_ type: GGUFValueType, count: Int, key: String, depth: Int) throws(GGUFError) {
        if let size = type.fixedSize {
            // The count was bounded by the bytes left, so the product cannot overflow.
            try skip(count * size, "the elements of the key “\(key)”")
        } else {
            for _ in 0..<count { try skipValue(type, key: key, depth: depth) }
        }
    }

    private mutating func skipValue(_ type: GGUFValueType, key: String, depth: Int) throws(GGUFError) {
        switch type {
        case .string:
            _ = try stringRange("the text of the key “\(key)”")
        case .array:
            guard depth < Self.maximumNesting else {
                throw malformed("the key “\(key)” nests arrays more than \(Self.maximumNesting) deep")
            }
            let (element, count) = try arrayHeader(key)
            try skipElements(element, count: count, key: key, depth: depth + 1)
        default:
            try skip(type.minimumSize, "the value of the key “\(key)”")
        }
    }
}
