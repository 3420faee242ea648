// SPDX-License-Identifier: Apache-2.0

extension Parser {
    /// One statement, from its tag's name on; the end of its last tag is left.
    mutating func statement() throws(JinjaError) -> Statement.Kind {
        let tag = try name()
        switch tag {
        case "if": return try ifStatement()
        case "for": return try forLoop()
        case "set": return try setStatement()
        case "macro": return try macroStatement()
        case "call": return try callBlock()
        case "with": return try withStatement()
        case "filter":
            var filter = try filter(of: nil, line: line)
            while skip(.pipe) { filter = try self.filter(of: filter, line: line) }
            return .filterBlock(filter, try body(until: ["endfilter"]).0)
        case "generation":
            // Its body is a macro, so loops around it cannot be left from inside.
            let outer = loops
            loops = 0
            defer { loops = outer }
            return .generation(try body(until: ["endgeneration"]).0)
        case "break", "continue":
            guard loops > 0 else { throw fail("“\(tag)” stands outside of a loop") }
            return tag == "break" ? .leave : .next
        case "include", "import", "from", "extends", "block", "autoescape", "do", "trans", "print", "debug":
            throw JinjaError(kind: .unsupported, message: "the tag “\(tag)” is not supported", line: line)
        default: throw fail("there is no tag “\(tag)”")
        }
    }

    private mutating func ifStatement() throws(JinjaError) -> Statement.Kind {
        var branches: [(condition: Expression, body: [Statement])] = []
        while true {
            let condition = try tuple(allowsCondition: false)
            let (body, end) = try body(until: ["elif", "else", "endif"])
            branches.append((condition, body))
            if end == "endif" { return .ifs(branches, otherwise: []) }
            if end == "else" { return .ifs(branches, otherwise: try self.body(until: ["endif"]).0) }
        }
    }

    private mutating func forLoop() throws(JinjaError) -> Statement.Kind {
        let target = try target(until: "in")
        try expect(.name("in"), "“in”")
        let items = try tuple(allowsCondition: false, until: "recursive")
        let condition = skip(.name("if")) ? try expression() : nil
        let isRecursive = skip(.name("recursive"))
        loops += 1
        let (body, end) = try body(until: ["endfor", "else"])
        loops -= 1
        let otherwise = end == "else" ? try self.body(until: ["endfor"]).0 : []
        return .loop(
            ForLoop(
                target: target, items: items, condition: condition, isRecursive: isRecursive, body: body,
                otherwise: otherwise))
    }

    private mutating func setStatement() throws(JinjaError) -> Statement.Kind {
        let target = try target(until: nil, allowsMembers: true)
        if skip(.assign) { return .set(target, try tuple()) }
        var filters: Expression?
        while skip(.pipe) { filters = try filter(of: filters, line: line) }
        return .setBlock(target, filter: filters, body: try body(until: ["endset"]).0)
    }

    private mutating func macroStatement() throws(JinjaError) -> Statement.Kind {
        let name = try name()
        return .macro(try macro(name, parameters: try parameters(), end: "endmacro"))
    }

    private mutating func callBlock() throws(JinjaError) -> Statement.Kind {
        let parameters = current.kind == .symbol(.leftParenthesis) ? try parameters() : []
        let call = try expression()
        guard case .call = call.kind else { throw fail("a call block needs a call") }
        return .call(call, try macro("caller", parameters: parameters, end: "endcall"))
    }

    private mutating func macro(
        _ name: String, parameters: [(name: String, initial: Expression?)], end: String
    ) throws(JinjaError) -> Macro {
        let outer = loops
        loops = 0
        specials.append([])
        defer { loops = outer }
        let body = try body(until: [end]).0
        return Macro(name: name, parameters: parameters, specials: specials.removeLast(), body: body)
    }

    private mutating func parameters() throws(JinjaError) -> [(name: String, initial: Expression?)] {
        try expect(.leftParenthesis)
        var parameters: [(name: String, initial: Expression?)] = []
        while current.kind != .symbol(.rightParenthesis) {
            if !parameters.isEmpty { try expect(.comma) }
            let name = try name()
            let initial = skip(.assign) ? try expression() : nil
            if initial == nil, parameters.last?.initial != nil { throw fail("“\(name)” needs a default") }
            parameters.append((name, initial))
        }
        try expect(.rightParenthesis)
        return parameters
    }

    private mutating func withStatement() throws(JinjaError) -> Statement.Kind {
        var values: [(target: Target, value: Expression)] = []
        while current.kind != .blockEnd, current.kind != .symbol(.colon) {
            if !values.isEmpty { try expect(.comma) }
            let target = try target(until: nil)
            try expect(.assign)
            values.append((target, try expression()))
        }
        return .with(values, try body(until: ["endwith"]).0)
    }

    /// What is assigned to: names, tuples of them, or a namespace's member.
    private mutating func target(until end: String?, allowsMembers: Bool = false) throws(JinjaError) -> Target {
        var targets: [Target] = [], isTuple = false
        while true {
            targets.append(try oneTarget(allowsMembers: allowsMembers))
            guard skip(.comma) else { break }
            isTuple = true
            if let end, current.kind == .name(end) { break }
            if current.kind == .symbol(.rightParenthesis) || current.kind == .symbol(.assign) { break }
        }
        return isTuple ? .tuple(targets) : targets[0]
    }

    private mutating func oneTarget(allowsMembers: Bool) throws(JinjaError) -> Target {
        if skip(.leftParenthesis) {
            let inner = try nested { (parser) throws(JinjaError) in
                try parser.target(until: nil, allowsMembers: allowsMembers)
            }
            try expect(.rightParenthesis)
            return inner
        }
        let name = try name()
        if Self.constants.contains(name) { throw fail("“\(name)” cannot be assigned to") }
        return allowsMembers && skip(.dot) ? .member(namespace: name, try self.name()) : .name(name)
    }

    private static let constants: Set<String> = ["true", "false", "none", "True", "False", "None"]
}
