// SPDX-License-Identifier: Apache-2.0

// Filters that go over items one by one.
extension Interpreter {
    /// The result of a filter that maps, selects or orders items, nil for any other filter.
    func filterItems(_ name: String, _ value: Value, _ passed: CallArguments) throws(JinjaError) -> Value? {
        switch name {
        case "map": return .sequence(ValueSequence(.generator, try mapped(try elements(of: value), passed)))
        case "select", "reject", "selectattr", "rejectattr":
            return .sequence(ValueSequence(.generator, try selected(name, try elements(of: value), passed)))
        case "sort":
            let items = try elements(of: value)
            let keys = try sortKeys(items, passed.value(2, "attribute"), passed.value(1, "case_sensitive"))
            return .list(try sorted(items, by: keys, isReversed: passed.value(0, "reverse")?.isTrue ?? false))
        case "dictsort": return .list(try sorted(value, passed))
        case "unique":
            let items = try elements(of: value)
            let keys = try sortKeys(items, passed.value(1, "attribute"), passed.value(0, "case_sensitive"))
            var seen: Set<Value> = [], kept: [Value] = []
            for (item, key) in zip(items, keys) where seen.insert(try hashable(key)).inserted { kept.append(item) }
            return .sequence(ValueSequence(.generator, kept))
        case "min", "max":
            let items = try elements(of: value)
            let keys = try sortKeys(items, passed.value(1, "attribute"), passed.value(0, "case_sensitive"))
            guard var best = keys.indices.first else { return .undefined("No aggregated item, sequence was empty.") }
            for index in keys.indices.dropFirst() {
                let order = try name == "min" ? order(keys[index], keys[best]) : order(keys[best], keys[index])
                if order < 0 { best = index }
            }
            return items[best]
        case "groupby": return .list(try grouped(try elements(of: value), passed))
        default: return nil
        }
    }

    private func mapped(_ items: [Value], _ passed: CallArguments) throws(JinjaError) -> [Value] {
        guard let name = passed.positional.first else {
            guard let attribute = passed.value(0, "attribute") else { throw fail("the filter “map” needs a filter") }
            let initial = passed.named.first { $0.name == "default" }?.value
            return try items.map { (item) throws(JinjaError) in
                let value = try key(attribute, of: item)
                return value.isUndefined ? initial ?? value : value
            }
        }
        let filterName = try text(of: name).string
        let rest = CallArguments(positional: Array(passed.positional.dropFirst()), named: passed.named)
        return try items.map { (item) throws(JinjaError) in
            try deeper { () throws(JinjaError) in try checked(try filter(filterName, item, rest)) }
        }
    }

    private func selected(_ name: String, _ items: [Value], _ passed: CallArguments) throws(JinjaError) -> [Value] {
        var rest = passed.positional[...], attribute: Value?
        if name.hasSuffix("attr") {
            guard let first = rest.popFirst() else { throw fail("the filter “\(name)” needs an attribute") }
            attribute = first
        }
        let testName = try rest.popFirst().map { (name) throws(JinjaError) in try text(of: name).string }
        let arguments = CallArguments(positional: Array(rest), named: passed.named)
        var kept: [Value] = []
        for item in items {
            let value = try attribute.map { (attribute) throws(JinjaError) in try key(attribute, of: item) } ?? item
            let holds = try testName.map { (name) throws(JinjaError) in try test(name, value, arguments) } ?? value.isTrue
            if holds == name.hasPrefix("select") { kept.append(item) }
        }
        return kept
    }

    /// What items are ordered by: texts in lower case, unless their case matters.
    private func sortKeys(_ items: [Value], _ attribute: Value?, _ isCaseSensitive: Value?) throws(JinjaError) -> [Value] {
        // Several attributes with commas make a tuple each.
        let names = attribute?.text?.string.split(separator: ",").map { Value.string(String($0)) } ?? []
        var keys: [Value] = []
        for item in items {
            var key = item
            if names.count > 1 {
                key = .list(try names.map { (name) throws(JinjaError) in try self.key(name, of: item) })
            } else if let attribute {
                key = try self.keys(of: [item], attribute)[0]
            }
            if isCaseSensitive?.isTrue ?? false { keys.append(key) } else { keys.append(Self.folded(key)) }
        }
        return keys
    }

    private static func folded(_ value: Value) -> Value {
        switch value {
        case .text(let text): .text(text.changed { $0.lowercased() })
        case .sequence(let sequence): .list(sequence.items.map(folded))
        default: value
        }
    }

    /// A stable merge sort, since comparing may fail.
    private func sorted(_ items: [Value], by keys: [Value], isReversed: Bool) throws(JinjaError) -> [Value] {
        var places = Array(keys.indices), width = 1
        while width < places.count {
            var merged: [Int] = []
            merged.reserveCapacity(places.count)
            for start in stride(from: 0, to: places.count, by: 2 * width) {
                var left = places[start..<min(start + width, places.count)]
                var right = places[min(start + width, places.count)..<min(start + 2 * width, places.count)]
                while let first = left.first, let second = right.first {
                    let order = try isReversed ? order(keys[first], keys[second]) : order(keys[second], keys[first])
                    merged.append(order < 0 ? right.removeFirst() : left.removeFirst())
                }
                merged += left + right
            }
            places = merged
            width *= 2
        }
        return places.map { items[$0] }
    }

    private func sorted(_ value: Value, _ passed: CallArguments) throws(JinjaError) -> [Value] {
        guard case .dictionary(let dictionary) = value else { throw fail("the filter “dictsort” needs a dictionary") }
        let byValue = passed.value(1, "by")?.text == MarkedText("value")
        let items = dictionary.entries.map { Value.tuple([$0.key, $0.value]) }
        let keys = try sortKeys(
            dictionary.entries.map { byValue ? $0.value : $0.key }, nil, passed.value(0, "case_sensitive"))
        return try sorted(items, by: keys, isReversed: passed.value(2, "reverse")?.isTrue ?? false)
    }

    /// Pairs of a key and the items that have it, in the keys' order.
    private func grouped(_ items: [Value], _ passed: CallArguments) throws(JinjaError) -> [Value] {
        guard let attribute = passed.value(0, "attribute") else { throw fail("the filter “groupby” needs an attribute") }
        let initial = passed.value(1, "default")
        var keys: [Value] = []
        for item in items {
            let key = try key(attribute, of: item)
            keys.append(key.isUndefined ? initial ?? key : key)
        }
        let folded = passed.value(2, "case_sensitive")?.isTrue ?? false ? keys : keys.map(Self.folded)
        let order = try sorted(keys.indices.map(Value.int), by: folded, isReversed: false).compactMap(\.integer)
        var groups: [(key: Value, items: [Value])] = [], last: Value?
        for place in order {
            if last != folded[place] { groups.append((keys[place], [])) }
            groups[groups.count - 1].items.append(items[place])
            last = folded[place]
        }
        return groups.map { .tuple([$0.key, .list($0.items)]) }
    }
}
