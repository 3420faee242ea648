// SPDX-License-Identifier: Apache-2.0

/// A text with `{{name}}` in places. What is filled in is never searched for placeholders again, so a document cannot
/// name another one.
struct PlaceholderText {
    private enum Part {
        case literal(Substring)
        case placeholder(String)
    }

    private var parts: [Part] = []

    init(_ text: String) {
        var rest = text[...]
        while let open = rest.firstRange(of: "{{"), let close = rest[open.upperBound...].firstRange(of: "}}") {
            let name = rest[open.upperBound..<close.lowerBound].filter { !$0.isWhitespace }
            parts.append(.literal(rest[..<open.lowerBound]))
            parts.append(.placeholder(name))
            rest = rest[close.upperBound...]
        }
        parts.append(.literal(rest))
    }

    /// The text with every placeholder replaced by its value.
    func filled<Failure>(_ value: (String) throws(Failure) -> String) throws(Failure) -> String {
        var text = ""
        for part in parts {
            switch part {
            case .literal(let literal): text += literal
            case .placeholder(let name): text += try value(name)
            }
        }
        return text
    }
}
