// SPDX-License-Identifier: Apache-2.0
import ModelFiles

extension JSONValue {
    /// The value, members in the order that tools are described in, so that the same value is the same text for a model.
    var inToolOrder: JSONValue {
        switch self {
        case .null, .bool, .integer, .number, .string: self
        case .array(let elements): .array(elements.map(\.inToolOrder))
        case .object(let members):
            .object(
                members.map { Member(key: $0.key, value: $0.value.inToolOrder) }.sorted {
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
