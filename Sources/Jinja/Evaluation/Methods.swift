// SPDX-License-Identifier: Apache-2.0

// Methods of Python's types, those that change nothing.
extension Interpreter {
    static let dictionaryMethods: Set<String> = ["get", "items", "keys", "values", "copy"]
    static let sequenceMethods: Set<String> = ["index", "count", "copy"]
    static let textMethods: Set<String> = [
        "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "replace", "upper",
        "lower", "title", "capitalize", "swapcase", "find", "rfind", "index", "rindex", "count", "join", "format",
        "removeprefix", "removesuffix", "partition", "rpartition", "isdigit", "isnumeric", "isdecimal", "isalpha",
        "isalnum", "isspace", "islower", "isupper", "zfill", "ljust", "rjust", "center",
    ]

    func call(_ name: String, of receiver: Value, _ passed: CallArguments) throws(JinjaError) -> Value {
        try charge(receiver.weight)
        switch receiver {
        case .text(let text): return try call(name, of: text, passed)
        case .dictionary(let dictionary): return try call(name, of: dictionary, passed)
        case .sequence(let sequence): return try call(name, of: sequence, passed)
        case .function(let function):
            guard case .loop(let state) = function.body else { break }
            return try call(name, of: state, passed)
        default: break
        }
        throw fail("a \(receiver.typeName) has no method “\(name)”")
    }

    private func call(
        _ name: String, of dictionary: ValueDictionary, _ passed: CallArguments
    ) throws(JinjaError) -> Value {
        let entries = dictionary.entries
        switch name {
        case "items":
            return .sequence(ValueSequence(.items, entries.map { .tuple([$0.key, $0.value]) }))
        case "keys": return .sequence(ValueSequence(.keys, entries.map(\.key)))
        case "values": return .sequence(ValueSequence(.values, entries.map(\.value)))
        case "copy": return .dictionary(dictionary)
        default:
            guard let key = passed.positional.first else { throw fail("“get” needs a key") }
            return dictionary[try hashable(key)] ?? (passed.positional.count > 1 ? passed.positional[1] : .none)
        }
    }

    private func call(_ name: String, of sequence: ValueSequence, _ passed: CallArguments) throws(JinjaError) -> Value {
        if name == "copy" { return .sequence(sequence) }
        guard let value = passed.positional.first else { throw fail("“\(name)” needs a value") }
        if name == "count" { return .int(sequence.items.count { $0 == value }) }
        guard let place = sequence.items.firstIndex(of: value) else { throw fail("the value is not in the list") }
        return .int(place)
    }

    private func call(_ name: String, of loop: LoopState, _ passed: CallArguments) throws(JinjaError) -> Value {
        if name == "cycle" {
            guard !passed.positional.isEmpty else { throw fail("“cycle” needs values") }
            return passed.positional[loop.index % passed.positional.count]
        }
        let value = Value.tuple(passed.positional)
        defer { loop.lastChanged = value }
        return .bool(loop.lastChanged != value)
    }

    private func call(_ name: String, of text: MarkedText, _ passed: CallArguments) throws(JinjaError) -> Value {
        if let value = try search(name, in: text, passed) { return value }
        if let value = try cut(name, text, passed) { return value }
        switch name {
        case "upper": return .text(text.changed { $0.uppercased() })
        case "lower": return .text(text.changed { $0.lowercased() })
        case "capitalize": return .text(text.changed(TextCase.capitalized))
        case "title": return .text(text.changed { TextCase.titled($0) { !$0.properties.isCased } })
        case "swapcase": return .text(text.changed(Self.swapped))
        case "join":
            let parts = try elements(of: passed.value(0, "iterable") ?? .none)
            var texts: [MarkedText] = []
            for part in parts {
                guard let text = part.text else { throw fail("“join” needs texts, not \(part.typeName)") }
                texts.append(text)
            }
            try checkSize(texts.count, times: text.bytes.count)
            return .text(MarkedText.joined(texts, by: text))
        case "format": return .text(try formatted(text, passed))
        case "replace":
            guard let old = passed.value(0, "old")?.text, let new = passed.value(1, "new")?.text else {
                throw fail("“replace” needs two texts")
            }
            return .text(try replacing(text, old, new, count: passed.value(2, "count")))
        case "zfill", "ljust", "rjust", "center": return .text(try justified(name, text, passed))
        default: return .bool(Self.isOf(name, text.string))
        }
    }

    func replacing(
        _ text: MarkedText, _ old: MarkedText, _ new: MarkedText, count: Value?
    ) throws(JinjaError) -> MarkedText {
        let limit = count?.integer ?? -1
        try checkSize(text.bytes.count / max(1, old.bytes.count) + 1, times: new.bytes.count)
        if old.isEmpty { try checkSize(text.bytes.count, times: 64) }
        return text.replacing(old, with: new, limit: limit < 0 ? .max : limit)
    }

    private static func swapped(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { result, scalar in
            let properties = scalar.properties
            result += properties.isUppercase ? properties.lowercaseMapping : properties.uppercaseMapping
        }
    }

    private func justified(_ name: String, _ text: MarkedText, _ passed: CallArguments) throws(JinjaError) -> MarkedText {
        guard let width = passed.value(0, "width")?.integer else { throw fail("“\(name)” needs a width") }
        let fill = passed.value(1, "fillchar")?.text ?? MarkedText(name == "zfill" ? "0" : " ")
        let missing = max(0, width - text.count)
        try checkSize(missing, times: max(1, fill.bytes.count))
        // Python's `center` puts the odd one on the left where the width is odd.
        let left = name == "ljust" ? 0 : name == "center" ? missing / 2 + (missing & width & 1) : missing
        func filling(_ count: Int) -> MarkedText { MarkedText(String(repeating: fill.string, count: count)) }
        let sign = name == "zfill" && "+-".utf8.contains(text.bytes.first ?? 0) ? 1 : 0
        return MarkedText.joined(
            [text[0..<sign], filling(left), text[sign..<text.bytes.count], filling(missing - left)], by: MarkedText())
    }

    private static func isOf(_ name: String, _ text: String) -> Bool {
        if name == "islower" { return TextCase.isLower(text) }
        if name == "isupper" { return TextCase.isUpper(text) }
        return !text.isEmpty
            && text.unicodeScalars.allSatisfy { scalar in
                let properties = scalar.properties
                switch name {
                case "isspace": return scalar.isPythonSpace
                case "isdecimal": return properties.generalCategory == .decimalNumber
                case "isdigit": return properties.numericType == .decimal || properties.numericType == .digit
                case "isnumeric": return properties.numericType != nil
                case "isalpha": return properties.generalCategory.isLetter
                default: return properties.generalCategory.isLetter || properties.numericType != nil
                }
            }
    }
}

extension Unicode.GeneralCategory {
    fileprivate var isLetter: Bool {
        switch self {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }
}
