// SPDX-License-Identifier: Apache-2.0
import Glibc

// Python's operators.
extension Interpreter {
    func apply(_ operation: BinaryOperator, _ left: Value, _ right: Value) throws(JinjaError) -> Value {
        for value in [left, right] { if case .undefined(let words) = value { throw fail(words) } }
        if let value = try onSequences(operation, left, right) { return value }
        if let left = left.integer, let right = right.integer { return try onIntegers(operation, left, right) }
        guard let left = left.number, let right = right.number else {
            throw fail("\(left.typeName) and \(right.typeName) cannot be combined so")
        }
        return .float(try onFloats(operation, left, right))
    }

    private func onSequences(_ operation: BinaryOperator, _ left: Value, _ right: Value) throws(JinjaError) -> Value? {
        switch (operation, left, right) {
        case (.add, .text(let left), .text(let right)):
            var text = left
            text.append(right)
            return .text(text)
        case (.add, .sequence(let left), .sequence(let right)) where left.kind == right.kind && left.kind != .generator:
            return .sequence(ValueSequence(left.kind, left.items + right.items))
        case (.multiply, _, .text), (.multiply, _, .sequence): return try repeated(right, left)
        case (.multiply, .text, _), (.multiply, .sequence, _): return try repeated(left, right)
        case (.modulo, .text(let format), _): return .text(try formatted(format, right))
        default: return nil
        }
    }

    private func repeated(_ value: Value, _ times: Value) throws(JinjaError) -> Value {
        guard let times = times.integer.map({ max(0, $0) }) else {
            throw fail("\(value.typeName) can be multiplied by whole numbers only")
        }
        switch value {
        case .text(let unit):
            try checkSize(times, times: unit.bytes.count)
            var text = MarkedText()
            if !unit.isEmpty { for _ in 0..<times { text.append(unit) } }
            return .text(text)
        case .sequence(let sequence) where sequence.kind == .list || sequence.kind == .tuple:
            try checkSize(times, times: sequence.items.count * 64)
            let items = sequence.items.isEmpty ? [] : Array(repeatElement(sequence.items, count: times).joined())
            return .sequence(ValueSequence(sequence.kind, items))
        default: throw fail("a \(value.typeName) cannot be multiplied")
        }
    }

    private func onIntegers(_ operation: BinaryOperator, _ left: Int, _ right: Int) throws(JinjaError) -> Value {
        let (value, overflow): (Int, Bool)
        switch operation {
        case .add: (value, overflow) = left.addingReportingOverflow(right)
        case .subtract: (value, overflow) = left.subtractingReportingOverflow(right)
        case .multiply: (value, overflow) = left.multipliedReportingOverflow(by: right)
        case .divide:
            guard right != 0 else { throw fail("division by zero") }
            return .float(Double(left) / Double(right))
        case .floorDivide, .modulo:
            guard right != 0 else { throw fail("division by zero") }
            let (quotient, tooLarge) = left.dividedReportingOverflow(by: right)
            guard !tooLarge else { throw fail("the number is too large") }
            let rest = left - quotient * right
            let isBelow = rest != 0 && (rest < 0) != (right < 0)
            return .int(operation == .modulo ? (isBelow ? rest + right : rest) : (isBelow ? quotient - 1 : quotient))
        case .power: return try power(left, right)
        }
        guard !overflow else { throw fail("the number is too large") }
        return .int(value)
    }

    private func power(_ base: Int, _ exponent: Int) throws(JinjaError) -> Value {
        guard exponent >= 0 else {
            guard base != 0 else { throw fail("division by zero") }
            return .float(pow(Double(base), Double(exponent)))
        }
        if base == 0 || base == 1 || base == -1 { return .int(exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base) }
        var result = 1
        for _ in 0..<min(exponent, 64) {
            let (next, overflow) = result.multipliedReportingOverflow(by: base)
            guard !overflow else { throw fail("the number is too large") }
            result = next
        }
        return .int(result)
    }

    private func onFloats(_ operation: BinaryOperator, _ left: Double, _ right: Double) throws(JinjaError) -> Double {
        switch operation {
        case .add: return left + right
        case .subtract: return left - right
        case .multiply: return left * right
        case .power: return pow(left, right)
        case .divide, .floorDivide, .modulo:
            guard right != 0 else { throw fail("division by zero") }
            if operation == .divide { return left / right }
            let rest = fmod(left, right)
            let modulus = rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest
            return operation == .modulo ? modulus : ((left - modulus) / right).rounded()
        }
    }

    func negated(_ value: Value) throws(JinjaError) -> Value {
        if let integer = value.integer {
            guard integer != .min else { throw fail("the number is too large") }
            return .int(-integer)
        }
        guard let number = value.number else { throw fail("“-” needs a number, not \(value.typeName)") }
        return .float(-number)
    }

    func compare(_ left: Value, _ operation: Comparison, _ right: Value) throws(JinjaError) -> Bool {
        try charge(min(left.weight, right.weight))
        switch operation {
        case .equal: return left == right
        case .notEqual: return left != right
        case .isIn: return try contains(right, left)
        case .isNotIn: return try !contains(right, left)
        case .less: return try order(left, right) < 0
        case .lessOrEqual: return try order(left, right) <= 0
        case .greater: return try order(right, left) < 0
        case .greaterOrEqual: return try order(right, left) <= 0
        }
    }

    /// Below 0 where `left` comes before `right`, above where after; 2 where a number is no number.
    func order(_ left: Value, _ right: Value) throws(JinjaError) -> Int {
        try charge(min(left.weight, right.weight))
        switch (left, right) {
        case (.text(let left), .text(let right)):
            return left == right ? 0 : left.bytes.lexicographicallyPrecedes(right.bytes) ? -1 : 1
        case (.sequence(let left), .sequence(let right)) where left.kind == right.kind && left.kind != .generator:
            for (left, right) in zip(left.items, right.items) where left != right { return try order(left, right) }
            return (left.items.count - right.items.count).signum()
        default:
            if let left = left.integer, let right = right.integer { return left < right ? -1 : left > right ? 1 : 0 }
            guard let first = left.number, let second = right.number else {
                if case .undefined(let words) = left { throw fail(words) }
                if case .undefined(let words) = right { throw fail(words) }
                throw fail("\(left.typeName) and \(right.typeName) have no order")
            }
            return first < second ? -1 : first > second ? 1 : first == second ? 0 : 2
        }
    }

    /// Python's `in`.
    func contains(_ container: Value, _ value: Value) throws(JinjaError) -> Bool {
        switch container {
        case .text(let text):
            guard let part = value.text else { throw fail("only a text can be in a text, not \(value.typeName)") }
            try charge(text.bytes.count >> 6)
            return text.firstOffset(of: part) != nil
        case .dictionary(let dictionary): return dictionary[try hashable(value)] != nil
        default: 
            let items = try elements(of: container)
            try charge(items.count)
            return items.contains(value)
        }
    }
}
