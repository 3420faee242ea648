// SPDX-License-Identifier: Apache-2.0

/// Reads the tokens of a template into statements, by the grammar of jinja2's parser.
struct Parser {
    /// Tags and brackets within one another, and expressions: deeper templates are refused, since reading, running and
    /// freeing them takes stack.
    static let maximumNesting = 100
    static let maximumDepth = 200

    private let tokens: [Token]
    private var index = 0
    private var nesting = 0
    /// Loops around the statement that is read, within the macro that is.
    var loops = 0
    /// The special names that each macro being read has used.
    var specials: [Set<String>] = []

    init(_ tokens: [Token]) { self.tokens = tokens }

    /// The whole template.
    mutating func template() throws(JinjaError) -> [Statement] { try statements(until: []) }

    var current: Token { tokens[index] }
    var following: Token.Kind { tokens[min(index + 1, tokens.count - 1)].kind }
    var line: Int { current.line }

    mutating func advance() { index = min(index + 1, tokens.count - 1) }

    func fail(_ message: String) -> JinjaError { JinjaError(kind: .syntax, message: message, line: line) }

    /// Steps over a token if it comes next.
    mutating func skip(_ kind: Token.Kind) -> Bool {
        guard current.kind == kind else { return false }
        advance()
        return true
    }

    mutating func skip(_ symbol: Symbol) -> Bool { skip(.symbol(symbol)) }

    mutating func expect(_ kind: Token.Kind, _ words: String) throws(JinjaError) {
        guard skip(kind) else { throw fail("\(words) is needed here") }
    }

    mutating func expect(_ symbol: Symbol) throws(JinjaError) { try expect(.symbol(symbol), "“\(symbol.rawValue)”") }

    mutating func name() throws(JinjaError) -> String {
        guard case .name(let name) = current.kind else { throw fail("a name is needed here") }
        advance()
        return name
    }

    /// Runs a part of the grammar one level deeper.
    mutating func nested<Result>(
        _ read: (inout Parser) throws(JinjaError) -> Result
    ) throws(JinjaError) -> Result {
        nesting += 1
        defer { nesting -= 1 }
        guard nesting <= Self.maximumNesting else {
            throw JinjaError(
                kind: .limit, message: "more than \(Self.maximumNesting) tags or brackets within one another", line: line)
        }
        return try read(&self)
    }

    /// Makes an expression of others.
    func make(_ kind: Expression.Kind, of parts: [Expression], line: Int) throws(JinjaError) -> Expression {
        var depth = 0
        for part in parts { depth = max(depth, part.depth) }
        guard depth < Self.maximumDepth else {
            throw JinjaError(kind: .limit, message: "an expression of more than \(Self.maximumDepth) levels", line: line)
        }
        return Expression(kind, line: line, depth: depth + 1)
    }
}

// Bodies of tags.
extension Parser {
    /// Statements up to a block whose tag is one of `ends`, whose name is then the current token; without `ends`, up to
    /// the end of the template.
    mutating func statements(until ends: Set<String>) throws(JinjaError) -> [Statement] {
        var body: [Statement] = []
        while true {
            let line = line
            switch current.kind {
            case .data(let text):
                body.append(Statement(kind: .text(MarkedText(text)), line: line))
                advance()
            case .variableBegin:
                advance()
                let value = try tuple()
                try expect(.variableEnd, "the end of the expression, “}}”,")
                body.append(Statement(kind: .output(value), line: line))
            case .blockBegin:
                advance()
                if case .name(let tag) = current.kind, ends.contains(tag) { return body }
                let kind = try nested { (parser) throws(JinjaError) in try parser.statement() }
                body.append(Statement(kind: kind, line: line))
                try expect(.blockEnd, "the end of the tag, “%}”,")
            case .end where ends.isEmpty: return body
            case .end: throw fail("the template ends where \(ends.sorted().joined(separator: " or ")) is needed")
            default: throw fail("this has no place between tags")
            }
        }
    }

    /// The body of a tag: from the tag's end to the end tag, whose name is stepped over and returned.
    mutating func body(until ends: Set<String>) throws(JinjaError) -> ([Statement], end: String) {
        _ = skip(Symbol.colon)
        try expect(.blockEnd, "the end of the tag, “%}”,")
        let statements = try statements(until: ends)
        return (statements, try name())
    }
}
