// SPDX-License-Identifier: Apache-2.0

/// Writes values as Python's `repr` does, and as JSON.
enum ValueWriter {
    /// `repr`, which is `str` of all but texts.
    static func write(_ value: Value, to text: inout MarkedText, in interpreter: Interpreter) throws(JinjaError) {
        try interpreter.charge(value.text.map { $0.bytes.count >> 4 } ?? 0)
        switch value {
        case .undefined: text.append("Undefined")
        case .none: text.append("None")
        case .bool(let value): text.append(value ? "True" : "False")
        case .int(let value): text.append(String(value))
        case .float(let value): text.append(PythonText.float(value))
        case .text(let inner): text.append(inner.changed(PythonText.quoted))
        case .sequence(let sequence): try write(sequence, to: &text, in: interpreter)
        case .dictionary(let dictionary):
            text.append("{")
            for (index, entry) in dictionary.entries.enumerated() {
                if index > 0 { text.append(", ") }
                try write(entry.key, to: &text, in: interpreter)
                text.append(": ")
                try write(entry.value, to: &text, in: interpreter)
            }
            text.append("}")
        case .namespace: throw interpreter.fail("a namespace cannot be written")
        case .function: throw interpreter.fail("a function cannot be written; a call needs parentheses")
        }
    }

    private static func write(
        _ sequence: ValueSequence, to text: inout MarkedText, in interpreter: Interpreter
    ) throws(JinjaError) {
        let (open, close) =
            switch sequence.kind {
            case .list: ("[", "]")
            case .tuple: ("(", sequence.items.count == 1 ? ",)" : ")")
            case .keys, .values, .items: (sequence.kind.rawValue + "([", "])")
            case .generator: throw interpreter.fail("a generator cannot be written; apply the filter “list” to it")
            }
        text.append(open)
        for (index, item) in sequence.items.enumerated() {
            if index > 0 { text.append(", ") }
            try write(item, to: &text, in: interpreter)
        }
        text.append(close)
    }
}

/// How `tojson` writes, which is how Python's `json.dumps` does.
struct JSONWriter {
    let interpreter: Interpreter
    var isASCII = false
    var indent: MarkedText?
    var itemSeparator: MarkedText
    var keySeparator: MarkedText
    var sortsKeys = false
    private(set) var text = MarkedText()

    init(_ interpreter: Interpreter, indent: MarkedText?) {
        self.interpreter = interpreter
        self.indent = indent
        itemSeparator = MarkedText(indent == nil ? ", " : ",")
        keySeparator = MarkedText(": ")
    }

    mutating func write(_ value: Value, level: Int = 0) throws(JinjaError) {
        try interpreter.charge(value.text.map { $0.bytes.count >> 4 } ?? level)
        switch value {
        case .none: text.append("null")
        case .bool(let value): text.append(value ? "true" : "false")
        case .int(let value): text.append(String(value))
        case .float(let value): text.append(Self.number(value))
        case .text(let inner):
            let isASCII = isASCII
            text.append(inner.changed { PythonText.json($0, isASCII: isASCII) })
        case .sequence(let sequence) where sequence.kind == .list || sequence.kind == .tuple:
            try write(sequence.items, level)
        case .dictionary(let dictionary): try write(dictionary, level)
        default: throw interpreter.fail("a \(value.typeName) cannot be written as JSON")
        }
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        return PythonText.float(value)
    }

    private mutating func write(_ items: [Value], _ level: Int) throws(JinjaError) {
        text.append("[")
        for (index, item) in items.enumerated() {
            separate(index, level + 1)
            try write(item, level: level + 1)
        }
        close("]", isEmpty: items.isEmpty, level)
    }

    private mutating func write(_ dictionary: ValueDictionary, _ level: Int) throws(JinjaError) {
        var entries = dictionary.entries
        if sortsKeys {
            guard entries.allSatisfy({ $0.key.text != nil }) else { throw interpreter.fail("the keys cannot be sorted") }
            // Code points compare as their UTF-8 does.
            entries.sort { $0.key.text!.bytes.lexicographicallyPrecedes($1.key.text!.bytes) }
        }
        text.append("{")
        for (index, entry) in entries.enumerated() {
            separate(index, level + 1)
            try writeKey(entry.key)
            text.append(keySeparator)
            try write(entry.value, level: level + 1)
        }
        close("}", isEmpty: entries.isEmpty, level)
    }

    private mutating func writeKey(_ key: Value) throws(JinjaError) {
        switch key {
        case .text: try write(key)
        case .none: text.append("\"null\"")
        case .bool(let value): text.append(value ? "\"true\"" : "\"false\"")
        case .int(let value): text.append("\"\(value)\"")
        case .float(let value): text.append("\"\(Self.number(value))\"")
        default: throw interpreter.fail("keys of JSON must be texts or numbers, not \(key.typeName)")
        }
    }

    private mutating func separate(_ index: Int, _ level: Int) {
        if index > 0 { text.append(itemSeparator) }
        breakLine(level)
    }

    private mutating func close(_ bracket: String, isEmpty: Bool, _ level: Int) {
        if !isEmpty { breakLine(level) }
        text.append(bracket)
    }

    private mutating func breakLine(_ level: Int) {
        guard let indent else { return }
        text.append("\n")
        for _ in 0..<level { text.append(indent) }
    }
}
