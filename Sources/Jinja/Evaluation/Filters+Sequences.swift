// SPDX-License-Identifier: Apache-2.0

// Filters of lists and dictionaries as wholes.
extension Interpreter {
    /// The result of a filter of sequences, nil for any other filter.
    func filterSequence(_ name: String, _ value: Value, _ passed: CallArguments) throws(JinjaError) -> Value? {
        switch name {
        case "length", "count": return .int(try length(of: value))
        case "list": return .list(try elements(of: value))
        case "first": return try elements(of: value).first ?? .undefined("No first item, sequence was empty.")
        case "last":
            if case .sequence(let sequence) = value, sequence.kind == .generator {
                throw fail("a generator has no last item; apply the filter “list” to it")
            }
            return try elements(of: value).last ?? .undefined("No last item, sequence was empty.")
        case "join": return .text(try joined(value, passed))
        case "reverse":
            if case .text(let text) = value { return .text(MarkedText.joined(text.scalars.reversed(), by: MarkedText())) }
            return .sequence(ValueSequence(.generator, try elements(of: value).reversed()))
        case "items":
            if value.isUndefined { return .sequence(ValueSequence(.generator, [])) }
            guard case .dictionary(let dictionary) = value else { throw fail("the filter “items” needs a dictionary") }
            return .sequence(ValueSequence(.generator, dictionary.entries.map { .tuple([$0.key, $0.value]) }))
        case "sum":
            var sum = passed.value(1, "start") ?? .int(0)
            for item in try keys(of: elements(of: value), passed.value(0, "attribute")) {
                sum = try checked(try apply(.add, sum, item))
            }
            return sum
        case "batch", "slice": return try chunks(name, try elements(of: value), passed)
        default: return nil
        }
    }

    private func joined(_ value: Value, _ passed: CallArguments) throws(JinjaError) -> MarkedText {
        let separator = try passed.value(0, "d").map { (value) throws(JinjaError) in try text(of: value) } ?? MarkedText()
        let items = try keys(of: elements(of: value), passed.value(1, "attribute"))
        try checkSize(items.count, times: separator.bytes.count)
        let texts = try items.map { (item) throws(JinjaError) in try text(of: item) }
        try checkSize(texts.reduce(0) { $0 + $1.bytes.count }, times: 1)
        return MarkedText.joined(texts, by: separator)
    }

    private func chunks(_ name: String, _ items: [Value], _ passed: CallArguments) throws(JinjaError) -> Value {
        guard let count = passed.positional.first?.integer, count > 0, count <= 10_000 else {
            throw fail("the filter “\(name)” needs a number from 1 to 10,000")
        }
        let fill = passed.value(1, "fill_with")
        var rows: [Value] = []
        if name == "batch" {
            for start in stride(from: 0, to: items.count, by: count) {
                var row = Array(items[start..<min(start + count, items.count)])
                if let fill, row.count < count { row += Array(repeating: fill, count: count - row.count) }
                rows.append(.list(row))
            }
        } else {
            let (size, extra) = items.count.quotientAndRemainder(dividingBy: count)
            var start = 0
            for index in 0..<count {
                let end = start + size + (index < extra ? 1 : 0)
                let isFilled = fill != nil && index >= extra && extra > 0
                rows.append(.list(items[start..<end] + (isFilled ? [fill ?? .none] : [])))
                start = end
            }
        }
        return .sequence(ValueSequence(.generator, rows))
    }

    /// What an attribute, given as `a.b` or a number, is of each item; the items themselves without one.
    func keys(of items: [Value], _ attribute: Value?) throws(JinjaError) -> [Value] {
        guard let attribute, attribute.text != nil || attribute.integer != nil else { return items }
        return try items.map { (item) throws(JinjaError) in try key(attribute, of: item) }
    }

    func key(_ attribute: Value, of item: Value) throws(JinjaError) -> Value {
        guard let path = attribute.text?.string else { return try self.item(attribute, of: item) }
        var value = item
        for part in path.split(separator: ".", omittingEmptySubsequences: false) {
            try charge(1)
            value = try self.item(Int(part).map(Value.int) ?? .string(String(part)), of: value)
        }
        return value
    }
}
