// SPDX-License-Identifier: Apache-2.0

extension Parser {
    /// An expression, or several with commas, which make a tuple.
    mutating func tuple(
        allowsCondition: Bool = true, until end: String? = nil, mayBeEmpty: Bool = false
    ) throws(JinjaError) -> Expression {
        let line = line
        var parts: [Expression] = [], isTuple = false
        while true {
            if !parts.isEmpty { try expect(.comma) }
            if endsTuple(end) { break }
            parts.append(try allowsCondition ? expression() : or())
            guard current.kind == .symbol(.comma) else { break }
            isTuple = true
        }
        if !isTuple, let only = parts.first { return only }
        guard isTuple || mayBeEmpty else { throw fail("an expression is needed here") }
        return try make(.tuple(parts), of: parts, line: line)
    }

    private func endsTuple(_ end: String?) -> Bool {
        switch current.kind {
        case .variableEnd, .blockEnd, .symbol(.rightParenthesis), .end: true
        case .name(let name): name == end
        default: false
        }
    }

    /// An expression without commas outside of brackets.
    mutating func expression() throws(JinjaError) -> Expression {
        try nested { (parser) throws(JinjaError) in
            var value = try parser.or()
            while parser.skip(.name("if")) {
                let condition = try parser.or()
                let otherwise = parser.skip(.name("else")) ? try parser.expression() : nil
                value = try parser.make(
                    .condition(condition, then: value, otherwise: otherwise),
                    of: [condition, value] + [otherwise].compactMap(\.self), line: condition.line)
            }
            return value
        }
    }

    private mutating func or() throws(JinjaError) -> Expression {
        var left = try and()
        while skip(.name("or")) {
            let right = try and()
            left = try make(.or(left, right), of: [left, right], line: left.line)
        }
        return left
    }

    private mutating func and() throws(JinjaError) -> Expression {
        var left = try not()
        while skip(.name("and")) {
            let right = try not()
            left = try make(.and(left, right), of: [left, right], line: left.line)
        }
        return left
    }

    private mutating func not() throws(JinjaError) -> Expression {
        let line = line
        guard skip(.name("not")) else { return try comparison() }
        let operand = try nested { (parser) throws(JinjaError) in try parser.not() }
        return try make(.not(operand), of: [operand], line: line)
    }

    private mutating func comparison() throws(JinjaError) -> Expression {
        let first = try sum()
        var rest: [(operation: Comparison, operand: Expression)] = []
        while let operation = comparisonSign() { rest.append((operation, try sum())) }
        return rest.isEmpty ? first : try make(.compare(first, rest), of: [first] + rest.map(\.operand), line: first.line)
    }

    private mutating func comparisonSign() -> Comparison? {
        let sign: Comparison
        switch current.kind {
        case .symbol(.equal): sign = .equal
        case .symbol(.notEqual): sign = .notEqual
        case .symbol(.less): sign = .less
        case .symbol(.lessOrEqual): sign = .lessOrEqual
        case .symbol(.greater): sign = .greater
        case .symbol(.greaterOrEqual): sign = .greaterOrEqual
        case .name("in"): sign = .isIn
        case .name("not") where following == .name("in"):
            advance()
            sign = .isNotIn
        default: return nil
        }
        advance()
        return sign
    }

    private mutating func sum() throws(JinjaError) -> Expression {
        var left = try concatenation()
        while true {
            let operation: BinaryOperator
            if skip(.add) { operation = .add } else if skip(.subtract) { operation = .subtract } else { return left }
            let right = try concatenation()
            left = try make(.binary(operation, left, right), of: [left, right], line: left.line)
        }
    }

    private mutating func concatenation() throws(JinjaError) -> Expression {
        var parts = [try product()]
        while skip(.tilde) { parts.append(try product()) }
        return parts.count == 1 ? parts[0] : try make(.concatenate(parts), of: parts, line: parts[0].line)
    }

    private mutating func product() throws(JinjaError) -> Expression {
        var left = try power()
        while true {
            let operation: BinaryOperator
            switch current.kind {
            case .symbol(.multiply): operation = .multiply
            case .symbol(.divide): operation = .divide
            case .symbol(.floorDivide): operation = .floorDivide
            case .symbol(.modulo): operation = .modulo
            default: return left
            }
            advance()
            let right = try power()
            left = try make(.binary(operation, left, right), of: [left, right], line: left.line)
        }
    }

    private mutating func power() throws(JinjaError) -> Expression {
        var left = try unary()
        while skip(.power) {
            let right = try unary()
            left = try make(.binary(.power, left, right), of: [left, right], line: left.line)
        }
        return left
    }

    private mutating func unary(filters: Bool = true) throws(JinjaError) -> Expression {
        let line = line
        var value: Expression
        if current.kind == .symbol(.subtract) || current.kind == .symbol(.add) {
            let negates = skip(.subtract)
            if !negates { advance() }
            let operand = try nested { (parser) throws(JinjaError) in try parser.unary(filters: false) }
            value = try make(negates ? .negate(operand) : .plus(operand), of: [operand], line: line)
        } else {
            value = try primary()
        }
        value = try postfix(value)
        return filters ? try filtersAndTests(value) : value
    }
}
