// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A JSON schema as text; written as an object or as a text that holds one.
public struct SchemaText: Sendable, Equatable, Codable {
    /// The schema.
    public let text: String

    /// Makes one of a schema's text.
    public init(_ text: String) { self.text = text }

    /// Reads a text, or any other value, which is written out.
    public init(from decoder: any Decoder) throws {
        let tree = try JSONTree(from: decoder)
        if case .text(let text) = tree {
            self.text = text
        } else {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            text = String(decoding: try encoder.encode(tree), as: UTF8.self)
        }
    }

    /// Writes the text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

/// Any JSON value.
private indirect enum JSONTree: Codable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case array([JSONTree])
    case object([String: JSONTree])

    init(from decoder: any Decoder) throws {
        if let members = try? [String: JSONTree](from: decoder) {
            self = .object(members)
        } else if let elements = try? [JSONTree](from: decoder) {
            self = .array(elements)
        } else {
            let value = try decoder.singleValueContainer()
            if value.decodeNil() {
                self = .null
            } else if let bool = try? value.decode(Bool.self) {
                self = .bool(bool)
            } else if let integer = try? value.decode(Int.self) {
                self = .integer(integer)
            } else if let number = try? value.decode(Double.self) {
                self = .number(number)
            } else {
                self = .text(try value.decode(String.self))
            }
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .text(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}
