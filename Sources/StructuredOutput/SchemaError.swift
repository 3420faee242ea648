// SPDX-License-Identifier: Apache-2.0

/// Why output cannot be constrained by a JSON schema.
public enum SchemaError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The schema is no JSON; the sentence says where.
    case notJSON(String)
    /// A keyword has a value that JSON Schema does not give a meaning.
    case invalid(path: String, String)
    /// A keyword that is not supported, with its place.
    case unsupported(path: String, keyword: String)
    /// The vocabulary has no token for a byte that JSON needs.
    case vocabulary(byte: UInt8)

    /// What is wrong, where, and what to do.
    public var description: String {
        switch self {
        case .notJSON(let sentence): "the JSON schema is not JSON: \(sentence)"
        case .invalid(let path, let sentence): "the JSON schema at \(path): \(sentence)"
        case .unsupported(let path, let keyword):
            "the JSON schema at \(path): the keyword “\(keyword)” is not supported; use type, enum, const, anyOf, oneOf, $ref, "
                + "properties, required, items, minLength, maxLength, pattern, minItems, maxItems, minimum, maximum"
        case .vocabulary(let byte):
            "the model's vocabulary has no token for the byte \(byte) alone, which JSON needs: use another model"
        }
    }
}
