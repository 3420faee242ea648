// SPDX-License-Identifier: Apache-2.0

// What values hold: elements, items, attributes, slices.
extension Interpreter {
    /// The elements that a loop over a value sees.
    func elements(of value: Value) throws(JinjaError) -> [Value] {
        try charge(value.weight)
        switch value {
        case .sequence(let sequence): return sequence.items
        case .dictionary(let dictionary): return dictionary.entries.map(\.key)
        case .text(let text):
            try checkSize(text.bytes.count, times: 64)
            return text.scalars.map(Value.text)
        case .undefined: return []
        default: throw fail("a \(value.typeName) is not iterable")
        }
    }

    /// How many elements a value has.
    func length(of value: Value) throws(JinjaError) -> Int {
        switch value {
        case .sequence(let sequence) where sequence.kind != .generator: return sequence.items.count
        case .dictionary(let dictionary): return dictionary.entries.count
        case .text(let text): return text.count
        case .undefined: return 0
        default: throw fail("a \(value.typeName) has no length")
        }
    }

    /// `object.name`: an attribute, or else the item of that name.
    func attribute(_ name: String, of object: Value) throws(JinjaError) -> Value {
        if let value = try ownAttribute(name, of: object) { return value }
        if case .dictionary(let dictionary) = object, let value = dictionary[name] { return value }
        return .undefined("'\(object.typeName) object' has no attribute '\(name)'")
    }

    private func ownAttribute(_ name: String, of object: Value) throws(JinjaError) -> Value? {
        switch object {
        case .undefined(let words): throw fail(words)
        case .namespace(let namespace): return namespace[name]
        case .function(let function):
            if case .loop(let state) = function.body {
                if let value = state.attribute(name) { return value }
                return ["cycle", "changed"].contains(name) ? .function(Function(.method(name), receiver: object)) : nil
            }
            if case .macro(let macro, _) = function.body, name == "name" { return .string(macro.name) }
            return nil
        case .text where Self.textMethods.contains(name), .dictionary where Self.dictionaryMethods.contains(name),
            .sequence where Self.sequenceMethods.contains(name):
            return .function(Function(.method(name), receiver: object))
        default: return nil
        }
    }

    /// `object[key]`: an item, or else the attribute of that name.
    func item(_ key: Value, of object: Value) throws(JinjaError) -> Value {
        if case .undefined(let words) = object { throw fail(words) }
        if case .dictionary(let dictionary) = object {
            try charge(key.weight)
            if let value = dictionary[key] { return value }
        } else if let index = key.integer, let value = try element(index, of: object) {
            return value
        }
        if let name = key.text?.string, let value = try ownAttribute(name, of: object) { return value }
        let words = key.text.map { "attribute '\($0.string)'" } ?? "such element"
        return .undefined("'\(object.typeName) object' has no \(words)")
    }

    private func element(_ index: Int, of object: Value) throws(JinjaError) -> Value? {
        switch object {
        case .sequence(let sequence) where sequence.kind == .list || sequence.kind == .tuple:
            let place = index < 0 ? index + sequence.items.count : index
            return sequence.items.indices.contains(place) ? sequence.items[place] : nil
        case .text(let text):
            try charge(text.bytes.count >> 3)
            let offsets = text.scalarOffsets
            let place = index < 0 ? index + offsets.count - 1 : index
            guard place >= 0, place < offsets.count - 1 else { return nil }
            return .text(text[offsets[place]..<offsets[place + 1]])
        default: return nil
        }
    }

    /// `object[start:stop:step]`, as Python cuts.
    func slice(_ object: Value, _ start: Int?, _ stop: Int?, _ step: Int?) throws(JinjaError) -> Value {
        let step = step ?? 1
        guard step != 0 else { throw fail("the step of a slice cannot be 0") }
        switch object {
        case .undefined(let words): throw fail(words)
        case .sequence(let sequence) where sequence.kind == .list || sequence.kind == .tuple:
            try charge(sequence.items.count >> 3)
            let places = Self.places(start, stop, step, count: sequence.items.count)
            return .sequence(ValueSequence(sequence.kind, places.map { sequence.items[$0] }))
        case .text(let text):
            try charge(text.bytes.count >> 3)
            let offsets = text.scalarOffsets
            let places = Self.places(start, stop, step, count: offsets.count - 1)
            guard let first = places.first, let last = places.last else { return .string("") }
            if step == 1 { return .text(text[offsets[first]..<offsets[last + 1]]) }
            var cut = MarkedText()
            for place in places { cut.append(text[offsets[place]..<offsets[place + 1]]) }
            return .text(cut)
        default: return .undefined("a \(object.typeName) cannot be sliced")
        }
    }

    /// The places that a slice takes, in its order.
    private static func places(_ start: Int?, _ stop: Int?, _ step: Int, count: Int) -> [Int] {
        let (low, high) = step > 0 ? (0, count) : (-1, count - 1)
        func bounded(_ bound: Int) -> Int {
            min(max(bound < 0 ? max(bound, -count - 1) + count : bound, low), high)
        }
        let first = start.map(bounded) ?? (step > 0 ? low : high)
        let end = stop.map(bounded) ?? (step > 0 ? high : low)
        // A step beyond the length takes the first element at most.
        let stride = min(max(step, -count - 1), count + 1)
        return Array(Swift.stride(from: first, to: end, by: stride))
    }

    /// The text that a value is written as.
    func text(of value: Value) throws(JinjaError) -> MarkedText {
        if case .text(let text) = value { return text }
        if case .undefined = value { return MarkedText() }
        var text = MarkedText()
        try ValueWriter.write(value, to: &text, in: self)
        return text
    }
}
