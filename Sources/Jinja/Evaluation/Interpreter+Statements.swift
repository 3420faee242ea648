// SPDX-License-Identifier: Apache-2.0

extension Interpreter {
    func run(_ body: [Statement]) throws(JinjaError) -> Flow {
        for statement in body {
            line = statement.line
            try charge(0)
            let flow = try deeper { () throws(JinjaError) in try run(statement.kind) }
            if flow != .on { return flow }
        }
        return .on
    }

    private func run(_ statement: Statement.Kind) throws(JinjaError) -> Flow {
        switch statement {
        case .text(let text): try write(text)
        case .output(let expression): try write(try text(of: try evaluate(expression)))
        case .ifs(let branches, let otherwise): return try run(branches, otherwise: otherwise)
        case .loop(let loop): try run(loop, items: try evaluate(loop.items), depth: 0)
        case .set(let target, let expression): try assign(try evaluate(expression), to: target)
        case .setBlock(let target, let filter, let body): try set(target, filter, body)
        case .macro(let macro): scope.values[macro.name] = closure(macro)
        case .call(let call, let macro): try run(call, caller: macro)
        case .filterBlock(let filter, let body):
            let text = try captured { () throws(JinjaError) in
                try scoped { () throws(JinjaError) in _ = try run(body) }
            }
            try write(try self.text(of: try evaluate(filter, over: .text(text))))
        case .with(let values, let body):
            // The values do not see one another.
            let evaluated = try values.map { (pair) throws(JinjaError) in (pair.target, try evaluate(pair.value)) }
            return try scoped { () throws(JinjaError) in
                for (target, value) in evaluated { try assign(value, to: target) }
                return try run(body)
            }
        case .generation(let body): try scoped { () throws(JinjaError) in _ = try run(body) }
        case .leave: return .leave
        case .next: return .next
        }
        return .on
    }

    private func run(
        _ branches: [(condition: Expression, body: [Statement])], otherwise: [Statement]
    ) throws(JinjaError) -> Flow {
        for (condition, body) in branches where try evaluate(condition).isTrue { return try run(body) }
        return try run(otherwise)
    }

    private func set(_ target: Target, _ filter: Expression?, _ body: [Statement]) throws(JinjaError) {
        let text = try captured { () throws(JinjaError) in
            try scoped { () throws(JinjaError) in _ = try run(body) }
        }
        try assign(try filter.map { (filter) throws(JinjaError) in try evaluate(filter, over: .text(text)) } ?? .text(text), to: target)
    }

    /// Runs a loop over what a value holds.
    func run(_ loop: ForLoop, items value: Value, depth: Int) throws(JinjaError) {
        var items = try elements(of: value)
        if let condition = loop.condition {
            var kept: [Value] = []
            for item in items {
                let isKept = try scoped { () throws(JinjaError) in
                    try assign(item, to: loop.target)
                    return try evaluate(condition).isTrue
                }
                if isKept { kept.append(item) }
            }
            items = kept
        }
        let state = LoopState(items, depth: depth, statement: loop, scope: scope)
        // Nothing that outlives the loop may hold its items.
        defer { state.items = [] }
        for (index, item) in items.enumerated() {
            state.index = index
            let flow = try scoped { () throws(JinjaError) in
                scope.values["loop"] = .function(Function(.loop(state)))
                try assign(item, to: loop.target)
                return try run(loop.body)
            }
            if flow == .leave { break }
        }
        if items.isEmpty { try scoped { () throws(JinjaError) in _ = try run(loop.otherwise) } }
    }

    private func assign(_ value: Value, to target: Target) throws(JinjaError) {
        switch target {
        case .name(let name): scope.values[name] = value
        case .member(let name, let member):
            guard case .namespace(let namespace)? = scope[name] else {
                throw fail("“\(name).\(member)” cannot be set, since “\(name)” is no namespace")
            }
            try charge(namespace.values.count)
            namespace[member] = value
        case .tuple(let targets):
            let items = try elements(of: value)
            guard items.count == targets.count else {
                throw fail("\(items.count) values cannot be assigned to \(targets.count) names")
            }
            for (target, item) in zip(targets, items) { try assign(item, to: target) }
        }
    }
}

// Macros.
extension Interpreter {
    private func closure(_ macro: Macro) -> Value {
        retain(scope)
        return .function(Function(.macro(macro, scope)))
    }

    private func run(_ call: Expression, caller: Macro) throws(JinjaError) {
        guard case .call(let callee, let arguments) = call.kind else { return }
        var passed = try evaluate(arguments)
        passed.named.append(("caller", closure(caller)))
        try write(try text(of: try self.call(try evaluate(callee), passed, name: callee)))
    }

    /// What a macro writes.
    func call(_ macro: Macro, in parent: Scope, _ passed: CallArguments) throws(JinjaError) -> Value {
        var named = passed.named, text = MarkedText()
        let extra = passed.positional.dropFirst(macro.parameters.count)
        guard extra.isEmpty || macro.specials.contains("varargs") else {
            throw fail("the macro “\(macro.name)” takes at most \(macro.parameters.count) arguments")
        }
        try deeper { () throws(JinjaError) in
            text = try captured { () throws(JinjaError) in
                try scoped(in: parent) { () throws(JinjaError) in
                    for (index, parameter) in macro.parameters.enumerated() {
                        let place = named.firstIndex { $0.name == parameter.name }
                        if index < passed.positional.count {
                            guard place == nil else { throw fail("“\(parameter.name)” is given twice") }
                            scope.values[parameter.name] = passed.positional[index]
                        } else if let place {
                            scope.values[parameter.name] = named.remove(at: place).value
                        } else if let initial = parameter.initial {
                            scope.values[parameter.name] = try evaluate(initial)
                        } else {
                            scope.values[parameter.name] = .undefined("parameter '\(parameter.name)' was not provided")
                        }
                    }
                    try bindSpecials(of: macro, Array(extra), &named)
                    _ = try run(macro.body)
                }
            }
        }
        return .text(text)
    }

    private func bindSpecials(
        of macro: Macro, _ extra: [Value], _ named: inout [(name: String, value: Value)]
    ) throws(JinjaError) {
        if let place = named.firstIndex(where: { $0.name == "caller" }) {
            guard macro.specials.contains("caller") else {
                throw fail("the macro “\(macro.name)” takes no call block")
            }
            scope.values["caller"] = named.remove(at: place).value
        } else if macro.specials.contains("caller") {
            scope.values["caller"] = .undefined("no caller defined")
        }
        if macro.specials.contains("varargs") { scope.values["varargs"] = try checked(.tuple(extra)) }
        if macro.specials.contains("kwargs") {
            scope.values["kwargs"] = try checked(
                .dictionary(ValueDictionary(named.map { (.string($0.name), $0.value) })))
        } else if let name = named.first?.name {
            throw fail("the macro “\(macro.name)” has no parameter “\(name)”")
        }
    }
}
