// SPDX-License-Identifier: Apache-2.0

/// Python's ordered collections, with what going over them costs.
final class ValueSequence: Sendable, Equatable {
    enum Kind: String {
        case list, tuple, generator
        case keys = "dict_keys"
        case values = "dict_values"
        case items = "dict_items"
    }

    let kind: Kind
    let items: [Value]
    let depth: Int
    let weight: Int

    init(_ kind: Kind, _ items: [Value]) {
        self.kind = kind
        self.items = items
        (depth, weight) = ValueMeasure.of(items)
    }

    static func == (left: ValueSequence, right: ValueSequence) -> Bool {
        left === right || left.kind != .generator && left.kind == right.kind && left.items == right.items
    }
}

/// Python's `dict`: keys in the order in which they came first.
final class ValueDictionary: Sendable, Equatable {
    let entries: [(key: Value, value: Value)]
    let depth: Int
    let weight: Int
    private let index: [Value: Int]

    init(_ pairs: [(Value, Value)]) {
        var entries: [(key: Value, value: Value)] = [], index: [Value: Int] = [:]
        for (key, value) in pairs {
            if let place = index[key] {
                entries[place].value = value
            } else {
                index[key] = entries.count
                entries.append((key, value))
            }
        }
        self.entries = entries
        self.index = index
        let (keyDepth, keyWeight) = ValueMeasure.of(entries.lazy.map(\.key))
        let (valueDepth, valueWeight) = ValueMeasure.of(entries.lazy.map(\.value))
        depth = max(keyDepth, valueDepth)
        weight = keyWeight + valueWeight
    }

    subscript(key: Value) -> Value? { index[key].map { entries[$0].value } }

    subscript(name: String) -> Value? { self[.string(name)] }

    static func == (left: ValueDictionary, right: ValueDictionary) -> Bool {
        left === right
            || left.entries.count == right.entries.count && left.entries.allSatisfy { right[$0.key] == $0.value }
    }
}

/// Depth and weight of a collection of values.
enum ValueMeasure {
    static func of(_ items: some Sequence<Value>) -> (depth: Int, weight: Int) {
        var depth = 0, weight = 1
        for item in items {
            depth = max(depth, item.depth)
            weight = min(weight + item.weight, 1 << 40)
        }
        return (depth + 1, weight)
    }
}
