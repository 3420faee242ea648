// SPDX-License-Identifier: Apache-2.0

/// Whether alternatives of `oneOf` exclude one another, so that what satisfies one satisfies no other.
struct Exclusion {
    /// Where there is a `oneOf`, and its alternatives.
    var groups: [(path: String, alternatives: [Int])] = []
    /// Objects that have no properties but those named.
    var closed: Set<Int> = []

    /// Checks all groups.
    ///
    /// - Throws: `SchemaError.invalid` for the first in which two may hold at once, as far as is known.
    func check(_ nodes: [Grammar.Node]) throws(SchemaError) {
        for (path, alternatives) in groups {
            for (place, one) in alternatives.enumerated() {
                for other in alternatives[(place + 1)...] where !exclude(one, other, nodes, depth: 0) {
                    throw .invalid(
                        path: path,
                        "alternatives of oneOf may both hold: give them a required property with different constants, or use anyOf"
                    )
                }
            }
        }
    }

    private func exclude(_ one: Int, _ other: Int, _ nodes: [Grammar.Node], depth: Int) -> Bool {
        guard depth < 8 else { return false }
        if case .any(let list) = nodes[one] {
            return list.allSatisfy { exclude($0, other, nodes, depth: depth + 1) }
        }
        if case .any(let list) = nodes[other] {
            return list.allSatisfy { exclude(one, $0, nodes, depth: depth + 1) }
        }
        if Self.kinds(nodes[one]).isDisjoint(with: Self.kinds(nodes[other])) { return true }
        switch (nodes[one], nodes[other]) {
        case (.literals(let texts), .literals(let others)):
            return Set(texts.map(Self.value)).isDisjoint(with: others.map(Self.value))
        case (.literals(let texts), .integer(let range)), (.integer(let range), .literals(let texts)):
            return texts.allSatisfy { text in
                Double(String(decoding: text, as: UTF8.self)).map {
                    $0 < Double(range.lowerBound) || $0 > Double(range.upperBound)
                } ?? true
            }
        case (.integer(let range), .integer(let otherRange)): return !range.overlaps(otherRange)
        case (.object(let properties, let required), .object(let others, let otherRequired)):
            let needed = Self.required(properties, required), otherNeeded = Self.required(others, otherRequired)
            if needed.contains(where: { key, value in
                otherNeeded[key].map { exclude(value, $0, nodes, depth: depth + 1) } ?? false
            }) {
                return true
            }
            // One must have what the other must not.
            return closed.contains(other) && needed.keys.contains { key in !others.contains { $0.key == key } }
                || closed.contains(one) && otherNeeded.keys.contains { key in !properties.contains { $0.key == key } }
        default: return false
        }
    }

    private static func required(_ properties: [Grammar.Property], _ mask: UInt64) -> [[UInt8]: Int] {
        let needed = properties.enumerated().filter { mask >> UInt64($0.offset) & 1 == 1 }
        return Dictionary(needed.map { ($0.element.key, $0.element.value) }) { first, _ in first }
    }

    /// The kinds of JSON values, by their first bytes.
    private static func kinds(_ node: Grammar.Node) -> Set<UInt8> {
        switch node {
        case .string, .pattern: [UInt8(ascii: "\"")]
        case .number, .integer, .amount: [UInt8(ascii: "0")]
        case .literals(let texts):
            Set(texts.map { $0.first.map { "-0123456789".utf8.contains($0) ? UInt8(ascii: "0") : $0 } ?? 0 })
        case .object, .map: [UInt8(ascii: "{")]
        case .array: [UInt8(ascii: "[")]
        case .any: Set(UInt8.min...UInt8.max)
        }
    }

    /// A literal so that equal values are equal: 1 is 1.0.
    private static func value(_ literal: [UInt8]) -> [UInt8] {
        let text = String(decoding: literal, as: UTF8.self)
        guard literal.first != UInt8(ascii: "\""), let number = Double(text) else { return literal }
        return Array(number.description.utf8)
    }
}
