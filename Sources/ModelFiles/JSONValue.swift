// SPDX-License-Identifier: Apache-2.0

/// A value of a JSON text (RFC 8259).
///
/// Members of objects keep their order and are told apart by their bytes: a vocabulary may hold two spellings of a letter
/// that Swift's strings call equal.
public indirect enum JSONValue: Sendable, Equatable {
    /// `null`.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// A number without fraction and exponent that an `Int` can hold.
    case integer(Int)
    /// Any other number.
    case number(Double)
    /// A text.
    case string(String)
    /// An array.
    case array([JSONValue])
    /// An object; a key may appear twice.
    case object([Member])

    /// Reads one JSON text; white space may surround it.
    ///
    /// - Throws: ``JSONError`` where it is none, or nests more than 64 deep.
    public init(json text: String) throws(JSONError) {
        self = try Array(text.utf8).withUnsafeBytes { bytes in
            Result { () throws(JSONError) in try JSONReader.read(bytes) }
        }.get()
    }

    /// A key and its value.
    public struct Member: Sendable, Equatable {
        /// The key.
        public let key: String
        /// The value.
        public let value: JSONValue

        /// Makes a member.
        public init(key: String, value: JSONValue) {
            self.key = key
            self.value = value
        }
    }

    /// The first value under a key, nil where this is no object or has none. Looks at all members before it.
    public subscript(key: String) -> JSONValue? {
        members?.first { $0.key.utf8.elementsEqual(key.utf8) }?.value
    }

    /// The members of an object.
    public var members: [Member]? { if case .object(let members) = self { members } else { nil } }
    /// The elements of an array.
    public var elements: [JSONValue]? { if case .array(let elements) = self { elements } else { nil } }
    /// The text of a string.
    public var text: String? { if case .string(let text) = self { text } else { nil } }
    /// The value of an integer.
    public var int: Int? { if case .integer(let value) = self { value } else { nil } }
    /// The value of a truth value.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    /// The value of any number.
    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }
}
