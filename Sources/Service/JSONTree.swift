// SPDX-License-Identifier: Apache-2.0

import ModelFiles

/// Any JSON value, read by `Codable`: the order of members is lost.
indirect enum JSONTree: Codable {
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

extension JSONTree {
    /// The value, members in the order that tools are described in, so that the same tree is the same text for a model.
    var ordered: JSONValue {
        switch self {
        case .null: .null
        case .bool(let value): .bool(value)
        case .integer(let value): .integer(value)
        case .number(let value): .number(value)
        case .text(let text): .string(text)
        case .array(let elements): .array(elements.map(\.ordered))
        case .object(let members):
            .object(
                members.map { JSONValue.Member(key: $0.key, value: $0.value.ordered) }.sorted {
                    (Self.rank($0.key), $0.key) < (Self.rank($1.key), $1.key)
                })
        }
    }

    /// As OpenAI's reference describes tools and people write schemas; other members come last, by their names.
    private static let order = [
        "type", "function", "name", "description", "parameters", "enum", "properties", "items", "required",
    ]

    private static func rank(_ key: String) -> Int { order.firstIndex(of: key) ?? order.count }
}
