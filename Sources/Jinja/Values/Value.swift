// SPDX-License-Identifier: Apache-2.0

/// A value of a running template: Python's, as far as templates meet them.
enum Value: Sendable {
    /// A name or member that is not there, with the words for it.
    case undefined(String)
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case text(MarkedText)
    case sequence(ValueSequence)
    case dictionary(ValueDictionary)
    case namespace(Namespace)
    case function(Function)

    static func string(_ text: String) -> Value { .text(MarkedText(text)) }
    static func list(_ items: [Value]) -> Value { .sequence(ValueSequence(.list, items)) }
    static func tuple(_ items: [Value]) -> Value { .sequence(ValueSequence(.tuple, items)) }

    /// The value for a program's.
    init(_ input: JinjaInput) {
        switch input {
        case .none: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .int(value)
        case .number(let value): self = .float(value)
        case .text(let text): self = .string(text)
        case .input(let text): self = .text(MarkedText(text, isInput: true))
        case .list(let items): self = .list(items.map(Value.init))
        case .object(let members):
            self = .dictionary(ValueDictionary(members.map { (.string($0.key), Value($0.value)) }))
        case .inputObject(let members):
            self = .dictionary(
                ValueDictionary(members.map { (.text(MarkedText($0.key, isInput: true)), Value($0.value)) }))
        }
    }

    /// What an `if` takes it for.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .float(let value): value != 0
        case .text(let text): !text.isEmpty
        case .sequence(let sequence): sequence.kind == .generator || !sequence.items.isEmpty
        case .dictionary(let dictionary): !dictionary.entries.isEmpty
        case .namespace, .function: true
        }
    }

    /// Python's name for the type, for messages.
    var typeName: String {
        switch self {
        case .undefined: "undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .int: "int"
        case .float: "float"
        case .text: "str"
        case .sequence(let sequence): sequence.kind.rawValue
        case .dictionary: "dict"
        case .namespace: "Namespace"
        case .function: "function"
        }
    }

    /// Values within one another, 0 for one that holds none.
    var depth: Int {
        switch self {
        case .sequence(let sequence): sequence.depth
        case .dictionary(let dictionary): dictionary.depth
        case .function(let function): function.receiver.map { $0.depth + 1 } ?? 0
        default: 0
        }
    }

    /// What it costs to go over the value, in steps: its elements, and 64 bytes of text each.
    var weight: Int {
        switch self {
        case .text(let text): 1 + text.bytes.count >> 6
        case .sequence(let sequence): sequence.weight
        case .dictionary(let dictionary): dictionary.weight
        default: 1
        }
    }

    /// The whole number that a truth value or number is.
    var integer: Int? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .int(let value): value
        default: nil
        }
    }

    /// The number that a truth value or number is.
    var number: Double? {
        if case .float(let value) = self { value } else { integer.map(Double.init) }
    }

    var text: MarkedText? { if case .text(let text) = self { text } else { nil } }
    var isUndefined: Bool { if case .undefined = self { true } else { false } }
}

extension Value: Hashable {
    /// Python's `==`: numbers and truth values by their amounts, all else by type and contents.
    static func == (left: Value, right: Value) -> Bool {
        switch (left, right) {
        case (.undefined, .undefined), (.none, .none): true
        case (.text(let left), .text(let right)): left == right
        case (.sequence(let left), .sequence(let right)): left == right
        case (.dictionary(let left), .dictionary(let right)): left == right
        case (.namespace(let left), .namespace(let right)): left === right
        case (.function(let left), .function(let right)): left === right
        default:
            if let left = left.integer, let right = right.integer {
                left == right
            } else if let left = left.number, let right = right.number {
                left == right
            } else {
                false
            }
        }
    }

    func hash(into hasher: inout Hasher) {
        switch self {
        case .text(let text): hasher.combine(text)
        case .sequence(let sequence): hasher.combine(sequence.items)
        default: if let number { hasher.combine(number) }
        }
    }
}

/// Variables that a template may change.
final class Namespace: @unchecked Sendable {
    // A rendering runs on one thread, and no value outlives it.
    var values: [(name: String, value: Value)] = []

    subscript(name: String) -> Value? {
        get { values.first { $0.name == name }?.value }
        set {
            guard let newValue else { return }
            if let index = values.firstIndex(where: { $0.name == name }) {
                values[index].value = newValue
            } else {
                values.append((name, newValue))
            }
        }
    }
}
