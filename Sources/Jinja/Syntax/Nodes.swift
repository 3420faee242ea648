// SPDX-License-Identifier: Apache-2.0

/// An expression. Immutable once read.
final class Expression: Sendable {
    enum Kind: Sendable {
        case constant(Value)
        case name(String)
        case tuple([Expression])
        case list([Expression])
        case dictionary([(key: Expression, value: Expression)])
        /// `a if condition else b`; without `else` the value is undefined.
        case condition(Expression, then: Expression, otherwise: Expression?)
        case and(Expression, Expression)
        case or(Expression, Expression)
        case not(Expression)
        case negate(Expression)
        case plus(Expression)
        case binary(BinaryOperator, Expression, Expression)
        /// `a ~ b ~ c`.
        case concatenate([Expression])
        /// A chain such as `a < b <= c`.
        case compare(Expression, [(operation: Comparison, operand: Expression)])
        case attribute(Expression, String)
        case item(Expression, Expression)
        case slice(Expression, start: Expression?, stop: Expression?, step: Expression?)
        case call(Expression, Arguments)
        /// A filter; in a filter block its operand is the block's text.
        case filter(Expression?, String, Arguments)
        case test(Expression, String, Arguments)
    }

    let kind: Kind
    let line: Int
    /// Expressions within one another.
    let depth: Int

    init(_ kind: Kind, line: Int, depth: Int) {
        self.kind = kind
        self.line = line
        self.depth = depth
    }
}

enum BinaryOperator: Sendable { case add, subtract, multiply, divide, floorDivide, modulo, power }

enum Comparison: Sendable { case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual, isIn, isNotIn }

/// The arguments of a call, a filter or a test.
struct Arguments: Sendable {
    var positional: [Expression] = []
    var named: [(name: String, value: Expression)] = []
    /// What stands after `*` and `**`.
    var spread: Expression?
    var namedSpread: Expression?

    var all: [Expression] {
        positional + named.map(\.value) + [spread, namedSpread].compactMap(\.self)
    }
}

/// What a `set` or a loop assigns to.
indirect enum Target: Sendable {
    case name(String)
    case member(namespace: String, String)
    case tuple([Target])
}

/// A statement, with its line.
struct Statement: Sendable {
    indirect enum Kind: Sendable {
        case text(MarkedText)
        case output(Expression)
        case ifs([(condition: Expression, body: [Statement])], otherwise: [Statement])
        case loop(ForLoop)
        case set(Target, Expression)
        /// `{% set x %}…{% endset %}`, with the filters that it goes through.
        case setBlock(Target, filter: Expression?, body: [Statement])
        case macro(Macro)
        /// `{% call f() %}…{% endcall %}`: the body is a macro by the name of `caller`.
        case call(Expression, Macro)
        case filterBlock(Expression, [Statement])
        case with([(target: Target, value: Expression)], [Statement])
        /// `{% generation %}…{% endgeneration %}`: what the model has said, which matters in training only.
        case generation([Statement])
        case leave
        case next
    }

    let kind: Kind
    let line: Int
}

/// A `for` loop.
final class ForLoop: Sendable {
    let target: Target
    let items: Expression
    let condition: Expression?
    let isRecursive: Bool
    let body: [Statement]
    let otherwise: [Statement]

    init(
        target: Target, items: Expression, condition: Expression?, isRecursive: Bool, body: [Statement],
        otherwise: [Statement]
    ) {
        self.target = target
        self.items = items
        self.condition = condition
        self.isRecursive = isRecursive
        self.body = body
        self.otherwise = otherwise
    }
}

/// A macro, or the body of a `call` block.
final class Macro: Sendable {
    let name: String
    let parameters: [(name: String, initial: Expression?)]
    /// The special names that the body uses, of `varargs`, `kwargs` and `caller`.
    let specials: Set<String>
    let body: [Statement]

    init(
        name: String, parameters: [(name: String, initial: Expression?)], specials: Set<String>, body: [Statement]
    ) {
        self.name = name
        self.parameters = parameters
        self.specials = specials
        self.body = body
    }
}
