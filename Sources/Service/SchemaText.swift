// SPDX-License-Identifier: Apache-2.0

import Foundation
import ModelFiles

/// A JSON schema as text; written as an object or as a text that holds one.
public struct SchemaText: Sendable, Equatable, Decodable {
    /// The schema.
    public let text: String

    /// Makes one of a schema's text.
    public init(_ text: String) { self.text = text }

    /// Reads a text, or any other value, which is written out.
    public init(from decoder: any Decoder) throws {
        let value = try JSONValue(from: decoder)
        if let text = value.text {
            self.text = text
        } else {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            text = String(decoding: try encoder.encode(value), as: UTF8.self)
        }
    }
}
