// SPDX-License-Identifier: Apache-2.0
import ModelFiles

extension JSONValue {
    /// Whether any text in it holds U+0000, which PostgreSQL cannot store.
    var holdsNUL: Bool {
        switch self {
        case .string(let text): text.utf8.contains(0)
        case .array(let elements): elements.contains(where: \.holdsNUL)
        case .object(let members): members.contains { $0.key.utf8.contains(0) || $0.value.holdsNUL }
        case .null, .bool, .integer, .number: false
        }
    }
}
