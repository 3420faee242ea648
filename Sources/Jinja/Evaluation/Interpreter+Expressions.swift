// SPDX-License-Identifier: Apache-2.0

/// The arguments of a call, evaluated.
struct CallArguments {
    var positional: [Value] = []
    var named: [(name: String, value: Value)] = []

    /// An argument by place or by name.
    func value(_ place: Int, _ name: String) -> Value? {
        place < positional.count ? positional[place] : named.first { $0.name == name }?.value
    }
}

extension Interpreter {
    /// The value of an expression; `operand` is what filters without one of their own are applied to.
    func evaluate(_ expression: Expression, over operand: Value? = nil) throws(JinjaError) -> Value {
        line = expression.line
        try charge(0)
        return try deeper { () throws(JinjaError) in try value(of: expression.kind, operand) }
    }

    private func value(of kind: Expression.Kind, _ operand: Value?) throws(JinjaError) -> Value {
        switch kind {
        case .constant(let value): return value
        case .name(let name): return named(name)
        case .tuple(let items): return try checked(.tuple(try values(of: items)))
        case .list(let items): return try checked(.list(try values(of: items)))
        case .dictionary(let entries): return try dictionary(entries)
        case .condition(let condition, let then, let otherwise):
            if try evaluate(condition).isTrue { return try evaluate(then) }
            guard let otherwise else { return .undefined("the inline if-expression evaluated to false") }
            return try evaluate(otherwise)
        case .and(let left, let right):
            let value = try evaluate(left)
            return value.isTrue ? try evaluate(right) : value
        case .or(let left, let right):
            let value = try evaluate(left)
            return value.isTrue ? value : try evaluate(right)
        case .not(let operand): return .bool(try !evaluate(operand).isTrue)
        case .negate(let operand): return try negated(try evaluate(operand))
        case .plus(let operand):
            let value = try evaluate(operand)
            guard value.number != nil else { throw fail("“+” needs a number, not \(value.typeName)") }
            return value.integer.map(Value.int) ?? value
        case .binary(let operation, let left, let right):
            return try checked(try apply(operation, try evaluate(left), try evaluate(right)))
        case .concatenate(let parts): return try concatenation(parts)
        case .compare(let first, let rest): return try comparison(first, rest)
        case .attribute(let object, let name): return try attribute(name, of: try evaluate(object))
        case .item(let object, let key): return try item(try evaluate(key), of: try evaluate(object))
        case .slice(let object, let start, let stop, let step):
            return try checked(try slice(try evaluate(object), try bound(start), try bound(stop), try bound(step)))
        case .call(let callee, let arguments):
            return try checked(try call(try evaluate(callee), try evaluate(arguments), name: callee))
        case .filter(let inner, let name, let arguments):
            let value = try inner.map { (inner) throws(JinjaError) in try evaluate(inner, over: operand) } ?? operand
            return try checked(try filter(name, value ?? .none, try evaluate(arguments)))
        case .test(let operand, let name, let arguments):
            return .bool(try test(name, try evaluate(operand), try evaluate(arguments)))
        }
    }

    private func values(of expressions: [Expression]) throws(JinjaError) -> [Value] {
        try expressions.map { (item) throws(JinjaError) in try evaluate(item) }
    }

    private func named(_ name: String) -> Value {
        if let value = scope[name] { return value }
        if let builtin = Builtin(rawValue: name) { return .function(Function(.builtin(builtin))) }
        return .undefined("'\(name)' is undefined")
    }

    private func dictionary(_ entries: [(key: Expression, value: Expression)]) throws(JinjaError) -> Value {
        var pairs: [(Value, Value)] = []
        for (key, value) in entries { pairs.append((try hashable(try evaluate(key)), try evaluate(value))) }
        return try checked(.dictionary(ValueDictionary(pairs)))
    }

    /// A value that may be the key of a dictionary.
    func hashable(_ value: Value) throws(JinjaError) -> Value {
        switch value {
        case .dictionary: throw fail("unhashable type: 'dict'")
        case .sequence(let sequence) where sequence.kind != .tuple:
            throw fail("unhashable type: '\(sequence.kind.rawValue)'")
        case .sequence(let sequence):
            for item in sequence.items { _ = try hashable(item) }
            return value
        default: return value
        }
    }

    private func concatenation(_ parts: [Expression]) throws(JinjaError) -> Value {
        var text = MarkedText()
        for part in parts { text.append(try self.text(of: try evaluate(part))) }
        return try checked(.text(text))
    }

    private func comparison(
        _ first: Expression, _ rest: [(operation: Comparison, operand: Expression)]
    ) throws(JinjaError) -> Value {
        var left = try evaluate(first)
        for (operation, operand) in rest {
            let right = try evaluate(operand)
            guard try compare(left, operation, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    private func bound(_ expression: Expression?) throws(JinjaError) -> Int? {
        guard let expression else { return nil }
        let value = try evaluate(expression)
        if case .none = value { return nil }
        guard let bound = value.integer else { throw fail("slice indices must be integers, not \(value.typeName)") }
        return bound
    }

    func evaluate(_ arguments: Arguments) throws(JinjaError) -> CallArguments {
        var passed = CallArguments(positional: try values(of: arguments.positional))
        for (name, value) in arguments.named { passed.named.append((name, try evaluate(value))) }
        if let spread = arguments.spread { passed.positional += try elements(of: try evaluate(spread)) }
        guard let spread = arguments.namedSpread else { return passed }
        guard case .dictionary(let dictionary) = try evaluate(spread) else {
            throw fail("the argument after ** must be a dictionary")
        }
        try charge(dictionary.weight)
        for (key, value) in dictionary.entries {
            guard let name = key.text?.string else { throw fail("keywords must be texts") }
            passed.named.append((name, value))
        }
        return passed
    }

    func call(_ callee: Value, _ passed: CallArguments, name: Expression) throws(JinjaError) -> Value {
        if case .undefined(let words) = callee { throw fail(words) }
        guard case .function(let function) = callee else { throw fail("a \(callee.typeName) cannot be called") }
        switch function.body {
        case .builtin(let builtin): return try call(builtin, passed)
        case .method(let name): return try call(name, of: function.receiver ?? .none, passed)
        case .macro(let macro, let scope): return try call(macro, in: scope, passed)
        case .loop(let state): return try call(state, passed)
        }
    }

    private func call(_ state: LoopState, _ passed: CallArguments) throws(JinjaError) -> Value {
        guard state.statement.isRecursive, passed.positional.count == 1 else {
            throw fail("only a loop with “recursive” can be called, with one argument")
        }
        let text = try captured { () throws(JinjaError) in
            try scoped(in: state.scope) { () throws(JinjaError) in
                try deeper { () throws(JinjaError) in
                    try run(state.statement, items: passed.positional[0], depth: state.depth + 1)
                }
            }
        }
        return .text(text)
    }
}
