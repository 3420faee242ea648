// SPDX-License-Identifier: Apache-2.0

// Filters of texts, numbers and single values.
extension Interpreter {
    func filter(_ name: String, _ value: Value, _ passed: CallArguments) throws(JinjaError) -> Value {
        try charge(value.weight)
        if let result = try filterSequence(name, value, passed) { return result }
        if let result = try filterItems(name, value, passed) { return result }
        if let result = try filterNumber(name, value, passed) { return result }
        switch name {
        case "default", "d":
            let isMissing = value.isUndefined || (passed.value(1, "boolean")?.isTrue ?? false) && !value.isTrue
            return isMissing ? passed.value(0, "default_value") ?? .string("") : value
        case "tojson": return .text(try json(value, passed))
        case "string", "safe": return .text(try text(of: value))
        case "attr":
            guard let name = passed.value(0, "name") else { throw fail("the filter “attr” needs a name") }
            if case .dictionary = value { return .undefined("a dict has no attributes") }
            return try attribute(try text(of: name).string, of: value)
        default:
            guard let result = try filterText(name, try text(of: value), passed) else {
                throw fail("there is no filter “\(name)”")
            }
            return .text(result)
        }
    }

    static let filterNames: Set<String> = [
        "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape", "first",
        "float", "format", "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max",
        "min", "reject", "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort",
        "string", "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "wordcount",
    ]

    private func filterText(_ name: String, _ text: MarkedText, _ passed: CallArguments) throws(JinjaError) -> MarkedText? {
        switch name {
        case "trim": return try stripped(text, passed.value(0, "chars"))
        case "upper": return text.changed { $0.uppercased() }
        case "lower": return text.changed { $0.lowercased() }
        case "capitalize": return text.changed(TextCase.capitalized)
        case "title": return text.changed { TextCase.titled($0) { "-([{<".unicodeScalars.contains($0) || $0.isPythonSpace } }
        case "escape", "e": return try escaped(text)
        case "replace":
            guard let old = passed.value(0, "old"), let new = passed.value(1, "new") else {
                throw fail("the filter “replace” needs two texts")
            }
            return try replacing(text, try self.text(of: old), try self.text(of: new), count: passed.value(2, "count"))
        case "format":
            guard passed.named.isEmpty else {
                return try formatted(text, .dictionary(ValueDictionary(passed.named.map { (.string($0.name), $0.value) })))
            }
            return try formatted(text, .tuple(passed.positional))
        case "indent": return try indented(text, passed)
        case "center":
            return try call(
                "center", of: .text(text), CallArguments(positional: [passed.value(0, "width") ?? .int(80)])
            ).text
        case "truncate": return try truncated(text, passed)
        default: return nil
        }
    }

    private func escaped(_ text: MarkedText) throws(JinjaError) -> MarkedText {
        var text = text
        for (old, new) in [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ("\"", "&#34;")] {
            text = try replacing(text, MarkedText(old), MarkedText(new), count: nil)
        }
        return text
    }

    private func indented(_ text: MarkedText, _ passed: CallArguments) throws(JinjaError) -> MarkedText {
        var indent = MarkedText("    ")
        switch passed.value(0, "width") {
        case .text(let text)?: indent = text
        case let width?:
            guard let width = width.integer, width <= 400 else { throw fail("the width of an indent must be 0 to 400") }
            indent = MarkedText(String(repeating: " ", count: max(0, width)))
        case nil: break
        }
        let first = passed.value(1, "first")?.isTrue ?? false, blank = passed.value(2, "blank")?.isTrue ?? false
        let lines = text.split(by: MarkedText("\n"), limit: .max)
        try checkSize(lines.count, times: indent.bytes.count + 64)
        var result = MarkedText()
        for (index, line) in lines.enumerated() {
            if index > 0 { result.append("\n") }
            if index == 0 ? first : blank || !line.isEmpty { result.append(indent) }
            result.append(line)
        }
        return result
    }

    private func truncated(_ text: MarkedText, _ passed: CallArguments) throws(JinjaError) -> MarkedText {
        let length = passed.value(0, "length")?.integer ?? 255
        let end = try passed.value(2, "end").map { (end) throws(JinjaError) in try self.text(of: end) } ?? MarkedText("...")
        let leeway = passed.value(3, "leeway")?.integer ?? 5
        guard length >= end.count, leeway >= 0, leeway <= 1 << 40, length <= 1 << 40 else {
            throw fail("the length of “truncate” is out of range")
        }
        if text.count <= length + leeway { return text }
        var cut = text[0..<text.scalarOffsets[length - end.count]]
        if !(passed.value(1, "killwords")?.isTrue ?? false), let space = cut.lastOffset(of: MarkedText(" "), upTo: cut.bytes.count) {
            cut = cut[0..<space]
        }
        cut.append(end)
        return cut
    }

    private func json(_ value: Value, _ passed: CallArguments) throws(JinjaError) -> MarkedText {
        func separator(_ value: Value) throws(JinjaError) -> MarkedText {
            guard let text = value.text else { throw fail("separators of JSON must be texts") }
            return text
        }
        var indent: MarkedText?
        switch passed.value(1, "indent") {
        case nil, Value.none?: break
        case .text(let text)?: indent = text
        case let width?:
            guard let width = width.integer, width <= 400 else { throw fail("the indent of JSON must be 0 to 400") }
            indent = MarkedText(String(repeating: " ", count: max(0, width)))
        }
        var writer = JSONWriter(self, indent: indent)
        writer.isASCII = passed.value(0, "ensure_ascii")?.isTrue ?? false
        writer.sortsKeys = passed.value(3, "sort_keys")?.isTrue ?? false
        if case .sequence(let pair)? = passed.value(2, "separators"), pair.items.count == 2 {
            writer.itemSeparator = try separator(pair.items[0])
            writer.keySeparator = try separator(pair.items[1])
        }
        try writer.write(value)
        return writer.text
    }
}
