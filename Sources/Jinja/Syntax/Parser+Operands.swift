// SPDX-License-Identifier: Apache-2.0

extension Parser {
    /// A name, a constant, or something in brackets.
    mutating func primary() throws(JinjaError) -> Expression {
        let line = line
        func constant(_ value: Value) -> Expression { Expression(.constant(value), line: line, depth: 1) }
        switch current.kind {
        case .name(let name):
            advance()
            return named(name, line: line)
        case .string(var text):
            advance()
            // Neighbouring texts are one.
            while case .string(let more) = current.kind {
                text += more
                advance()
            }
            return constant(.string(text))
        case .integer(let value):
            advance()
            return constant(.int(value))
        case .float(let value):
            advance()
            return constant(.float(value))
        case .symbol(.leftParenthesis):
            advance()
            let inner = try nested { (parser) throws(JinjaError) in try parser.tuple(mayBeEmpty: true) }
            try expect(.rightParenthesis)
            return inner
        case .symbol(.leftBracket): return try nested { (parser) throws(JinjaError) in try parser.list() }
        case .symbol(.leftBrace): return try nested { (parser) throws(JinjaError) in try parser.dictionary() }
        default: throw fail("a value is needed here")
        }
    }

    private mutating func named(_ name: String, line: Int) -> Expression {
        let kind: Expression.Kind
        switch name {
        case "true", "True": kind = .constant(.bool(true))
        case "false", "False": kind = .constant(.bool(false))
        case "none", "None": kind = .constant(.none)
        default:
            kind = .name(name)
            if Macro.specialNames.contains(name), !specials.isEmpty { specials[specials.count - 1].insert(name) }
        }
        return Expression(kind, line: line, depth: 1)
    }

    private mutating func list() throws(JinjaError) -> Expression {
        let line = line
        try expect(.leftBracket)
        var items: [Expression] = []
        while current.kind != .symbol(.rightBracket) {
            if !items.isEmpty { try expect(.comma) }
            if current.kind == .symbol(.rightBracket) { break }
            items.append(try expression())
        }
        try expect(.rightBracket)
        return try make(.list(items), of: items, line: line)
    }

    private mutating func dictionary() throws(JinjaError) -> Expression {
        let line = line
        try expect(.leftBrace)
        var entries: [(key: Expression, value: Expression)] = []
        while current.kind != .symbol(.rightBrace) {
            if !entries.isEmpty { try expect(.comma) }
            if current.kind == .symbol(.rightBrace) { break }
            let key = try expression()
            try expect(.colon)
            entries.append((key, try expression()))
        }
        try expect(.rightBrace)
        return try make(.dictionary(entries), of: entries.flatMap { [$0.key, $0.value] }, line: line)
    }

    /// Attributes, items and calls after a value.
    mutating func postfix(_ value: Expression) throws(JinjaError) -> Expression {
        var value = value
        while true {
            switch current.kind {
            case .symbol(.dot): value = try attribute(of: value)
            case .symbol(.leftBracket): value = try item(of: value)
            case .symbol(.leftParenthesis): value = try call(value)
            default: return value
            }
        }
    }

    private mutating func attribute(of value: Expression) throws(JinjaError) -> Expression {
        let line = line
        advance()
        if case .integer(let number) = current.kind {
            advance()
            let index = Expression(.constant(.int(number)), line: line, depth: 1)
            return try make(.item(value, index), of: [value], line: line)
        }
        return try make(.attribute(value, try name()), of: [value], line: line)
    }

    private mutating func item(of value: Expression) throws(JinjaError) -> Expression {
        let line = line
        advance()
        func part() throws(JinjaError) -> Expression? {
            switch current.kind {
            case .symbol(.colon), .symbol(.rightBracket), .symbol(.comma): return nil
            default: return try expression()
            }
        }
        let start = try part()
        if skip(.colon) {
            let stop = try part()
            let step = skip(.colon) ? try part() : nil
            try expect(.rightBracket)
            return try make(
                .slice(value, start: start, stop: stop, step: step),
                of: [value] + [start, stop, step].compactMap(\.self), line: line)
        }
        guard let start else { throw fail("an index is needed here") }
        try expect(.rightBracket)
        return try make(.item(value, start), of: [value, start], line: line)
    }

    private mutating func call(_ value: Expression) throws(JinjaError) -> Expression {
        let line = line
        let arguments = try arguments()
        return try make(.call(value, arguments), of: [value] + arguments.all, line: line)
    }

    /// Filters, tests and calls after an operand.
    mutating func filtersAndTests(_ value: Expression) throws(JinjaError) -> Expression {
        var value = value
        while true {
            let line = line
            if skip(.pipe) {
                value = try filter(of: value, line: line)
            } else if skip(.name("is")) {
                value = try test(of: value, line: line)
            } else if current.kind == .symbol(.leftParenthesis) {
                value = try call(value)
            } else {
                return value
            }
        }
    }

    /// A filter, from its name on.
    mutating func filter(of value: Expression?, line: Int) throws(JinjaError) -> Expression {
        let name = try name()
        let arguments = current.kind == .symbol(.leftParenthesis) ? try arguments() : Arguments()
        return try make(
            .filter(value, name, arguments), of: [value].compactMap(\.self) + arguments.all, line: line)
    }

    private mutating func test(of value: Expression, line: Int) throws(JinjaError) -> Expression {
        let isNegated = skip(.name("not"))
        let name = try name()
        var arguments = Arguments()
        switch current.kind {
        case .symbol(.leftParenthesis): arguments = try self.arguments()
        case .name("else"), .name("or"), .name("and"): break
        case .name("is"): throw fail("tests cannot be chained with “is”")
        case .name, .string, .integer, .float, .symbol(.leftBracket), .symbol(.leftBrace):
            let operand = try primary()
            arguments.positional = [try postfix(operand)]
        default: break
        }
        let test = try make(.test(value, name, arguments), of: [value] + arguments.all, line: line)
        return isNegated ? try make(.not(test), of: [test], line: line) : test
    }

    private mutating func arguments() throws(JinjaError) -> Arguments {
        try expect(.leftParenthesis)
        var arguments = Arguments(), isFirst = true
        while current.kind != .symbol(.rightParenthesis) {
            if !isFirst { try expect(.comma) }
            isFirst = false
            if current.kind == .symbol(.rightParenthesis) { break }
            let mayFollow = arguments.namedSpread == nil
            if mayFollow, arguments.spread == nil, skip(.multiply) {
                arguments.spread = try expression()
            } else if mayFollow, skip(.power) {
                arguments.namedSpread = try expression()
            } else if mayFollow, case .name(let name) = current.kind, following == .symbol(.assign) {
                advance()
                advance()
                arguments.named.append((name, try expression()))
            } else {
                guard mayFollow, arguments.spread == nil, arguments.named.isEmpty else {
                    throw fail("a positional argument stands after a named one")
                }
                arguments.positional.append(try expression())
            }
        }
        try expect(.rightParenthesis)
        return arguments
    }
}

extension Macro {
    /// Names that a macro need not have as parameters to be given them.
    static let specialNames: Set<String> = ["varargs", "kwargs", "caller"]
}
