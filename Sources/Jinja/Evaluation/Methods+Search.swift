// SPDX-License-Identifier: Apache-2.0

// Methods that search texts or take them apart.
extension Interpreter {
    /// The result of a method that looks for a text, nil for any other method.
    func search(_ name: String, in text: MarkedText, _ passed: CallArguments) throws(JinjaError) -> Value? {
        switch name {
        case "startswith", "endswith":
            let (part, _) = try range(of: text, passed)
            for affix in try affixes(passed) {
                let isThere = name == "startswith" ? part.bytes.starts(with: affix.bytes) : part.hasSuffix(affix)
                if isThere { return .bool(true) }
            }
            return .bool(false)
        case "find", "rfind", "index", "rindex", "count":
            guard let needle = passed.value(0, "sub")?.text else { throw fail("“\(name)” needs a text") }
            let (part, start) = try range(of: text, passed)
            if name == "count" {
                return .int(needle.isEmpty ? part.count + 1 : part.split(by: needle, limit: .max).count - 1)
            }
            let found = name.hasPrefix("r")
                ? part.lastOffset(of: needle, upTo: part.bytes.count) : part.firstOffset(of: needle)
            guard let found else {
                if name.hasSuffix("index") { throw fail("the text is not there") }
                return .int(-1)
            }
            return .int(start + part[0..<found].count)
        case "removeprefix", "removesuffix":
            guard let affix = passed.value(0, "affix")?.text else { throw fail("“\(name)” needs a text") }
            let count = text.bytes.count, length = affix.bytes.count
            if name == "removeprefix" {
                return .text(text.bytes.starts(with: affix.bytes) ? text[length..<count] : text)
            }
            return .text(text.hasSuffix(affix) ? text[0..<count - length] : text)
        default: return nil
        }
    }

    private func affixes(_ passed: CallArguments) throws(JinjaError) -> [MarkedText] {
        var candidates = passed.positional.prefix(1)
        if case .sequence(let sequence)? = candidates.first, sequence.kind == .tuple { candidates = sequence.items[...] }
        var affixes: [MarkedText] = []
        for candidate in candidates {
            guard let text = candidate.text else { throw fail("a text or a tuple of texts is needed") }
            affixes.append(text)
        }
        return affixes
    }

    /// The part of a text that the second and third argument name, and the place of its first scalar.
    private func range(of text: MarkedText, _ passed: CallArguments) throws(JinjaError) -> (MarkedText, start: Int) {
        guard passed.positional.count > 1 else { return (text, 0) }
        let count = text.count
        let start = passed.positional[1].integer ?? 0
        let first = min(max(start < 0 ? start + count : start, 0), count)
        let stop = passed.positional.count > 2 ? passed.positional[2].integer : nil
        let part = try slice(.text(text), start, stop, nil)
        return (part.text ?? MarkedText(), first)
    }

    /// The result of a method that takes a text apart, nil for any other method.
    func cut(_ name: String, _ text: MarkedText, _ passed: CallArguments) throws(JinjaError) -> Value? {
        switch name {
        case "strip", "lstrip", "rstrip":
            return .text(
                try stripped(text, passed.value(0, "chars"), left: name != "rstrip", right: name != "lstrip"))
        case "split", "rsplit":
            let limit = passed.value(1, "maxsplit")?.integer ?? -1
            return try split(
                text, by: passed.value(0, "sep") ?? .none, limit: limit < 0 ? .max : limit, fromRight: name == "rsplit")
        case "splitlines": return .list(Self.lines(of: text, keepsEnds: passed.value(0, "keepends")?.isTrue ?? false))
        case "partition", "rpartition":
            guard let separator = passed.value(0, "sep")?.text, !separator.isEmpty else {
                throw fail("“\(name)” needs a text that is not empty")
            }
            let isLast = name == "rpartition", nothing = MarkedText()
            let found = isLast ? text.lastOffset(of: separator, upTo: text.bytes.count) : text.firstOffset(of: separator)
            guard let found else {
                return .tuple((isLast ? [nothing, nothing, text] : [text, nothing, nothing]).map(Value.text))
            }
            let end = found + separator.bytes.count
            return .tuple([text[0..<found], separator, text[end..<text.bytes.count]].map(Value.text))
        default: return nil
        }
    }

    func stripped(
        _ text: MarkedText, _ characters: Value?, left: Bool = true, right: Bool = true
    ) throws(JinjaError) -> MarkedText {
        guard let characters, !characters.isUndefined else { return text.stripped(left: left, right: right, \.isPythonSpace) }
        if case .none = characters { return text.stripped(left: left, right: right, \.isPythonSpace) }
        guard let set = characters.text?.string.unicodeScalars else { throw fail("characters to strip must be a text") }
        let removed = Set(set)
        return text.stripped(left: left, right: right) { removed.contains($0) }
    }

    private func split(
        _ text: MarkedText, by separator: Value, limit: Int, fromRight: Bool
    ) throws(JinjaError) -> Value {
        try checkSize(text.bytes.count, times: 32)
        if case .none = separator {
            return .list((fromRight ? text.wordsFromRight(limit: limit) : text.words(limit: limit)).map(Value.text))
        }
        guard let separator = separator.text, !separator.isEmpty else { throw fail("the separator must be a text that is not empty") }
        let parts = fromRight ? text.splitFromRight(by: separator, limit: limit) : text.split(by: separator, limit: limit)
        return .list(parts.map(Value.text))
    }

    private static func lines(of text: MarkedText, keepsEnds: Bool) -> [Value] {
        let ends: Set<Unicode.Scalar> = [
            "\n", "\r", "\u{b}", "\u{c}", "\u{1c}", "\u{1d}", "\u{1e}", "\u{85}", "\u{2028}", "\u{2029}",
        ]
        var lines: [Value] = [], start = 0, offset = 0, wasReturn = false
        for scalar in text.string.unicodeScalars {
            let next = offset + UTF8.width(scalar)
            if scalar == "\n", wasReturn {
                // The second half of the end before it.
                if keepsEnds { lines[lines.count - 1] = .text(text[lineStart(before: offset, text)..<next]) }
                start = next
            } else if ends.contains(scalar) {
                lines.append(.text(text[start..<(keepsEnds ? next : offset)]))
                start = next
            }
            wasReturn = scalar == "\r"
            offset = next
        }
        if start < text.bytes.count { lines.append(.text(text[start..<text.bytes.count])) }
        return lines

        func lineStart(before end: Int, _ text: MarkedText) -> Int {
            end - (lines.last?.text?.bytes.count ?? 0)
        }
    }
}

extension MarkedText {
    func hasSuffix(_ suffix: MarkedText) -> Bool {
        bytes.count >= suffix.bytes.count && bytes[(bytes.count - suffix.bytes.count)...].elementsEqual(suffix.bytes)
    }
}
