// SPDX-License-Identifier: Apache-2.0

// The functions that every template has.
extension Interpreter {
    func call(_ builtin: Builtin, _ passed: CallArguments) throws(JinjaError) -> Value {
        switch builtin {
        case .range: return try range(passed)
        case .dict: return .dictionary(try dictionary(passed))
        case .namespace:
            let namespace = Namespace()
            retain(namespace)
            for (key, value) in try dictionary(passed).entries {
                guard let name = key.text?.string else { throw fail("the names of a namespace must be texts") }
                namespace.values.append((name, value))
            }
            return .namespace(namespace)
        case .raise:
            let message = try passed.value(0, "message").map { (value) throws(JinjaError) in try text(of: value).string }
            throw JinjaError(kind: .raised, message: message ?? "no reason given", line: line)
        case .now:
            guard let format = passed.value(0, "format")?.text else { throw fail("strftime_now needs a format") }
            return .string(date.formatted(format.string))
        }
    }

    private func range(_ passed: CallArguments) throws(JinjaError) -> Value {
        var bounds: [Int] = []
        for value in passed.positional {
            guard let bound = value.integer else { throw fail("range needs whole numbers, not \(value.typeName)") }
            bounds.append(bound)
        }
        let step = bounds.count == 3 ? bounds[2] : 1
        guard (1...3).contains(bounds.count), step != 0 else { throw fail("range needs 1 to 3 numbers, a step not 0") }
        let (start, stop) = bounds.count == 1 ? (0, bounds[0]) : (bounds[0], bounds[1])
        let (span, overflow) = stop.subtractingReportingOverflow(start)
        // As many as jinja2's sandbox allows.
        guard !overflow, span == 0 || (span > 0) != (step > 0) || span.magnitude / step.magnitude < 100_000 else {
            throw JinjaError(kind: .limit, message: "a range of more than 100,000 numbers", line: line)
        }
        return .list(stride(from: start, to: stop, by: step).map(Value.int))
    }

    private func dictionary(_ passed: CallArguments) throws(JinjaError) -> ValueDictionary {
        var pairs: [(Value, Value)] = []
        if let first = passed.positional.first {
            if case .dictionary(let dictionary) = first {
                pairs = dictionary.entries.map { ($0.key, $0.value) }
            } else {
                for item in try elements(of: first) {
                    let pair = try elements(of: item)
                    guard pair.count == 2 else { throw fail("a dictionary is made of pairs") }
                    pairs.append((try hashable(pair[0]), pair[1]))
                }
            }
        }
        return ValueDictionary(pairs + passed.named.map { (.string($0.name), $0.value) })
    }
}
