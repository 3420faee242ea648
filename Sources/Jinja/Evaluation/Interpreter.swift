// SPDX-License-Identifier: Apache-2.0

/// Runs one template once.
///
/// A rendering takes time in proportion to its steps, and memory in proportion to what the steps made: every operation
/// is charged for the text and the elements it goes over.
final class Interpreter {
    let date: JinjaDate
    private let limits: JinjaLimits
    private var steps: Int
    private var depth = 0
    /// The line that is run, for messages.
    var line = 1
    var scope = Scope(in: nil)
    /// The text so far, of the template or of the macro or block that runs.
    private var output = MarkedText()
    /// What may hold itself, to be emptied at the end.
    private var scopes: [Scope] = []
    private var namespaces: [Namespace] = []

    /// How a body of statements ended.
    enum Flow { case on, leave, next }

    init(limits: JinjaLimits, date: JinjaDate) {
        self.limits = limits
        self.date = date
        steps = limits.steps
    }

    /// Renders a template.
    func render(_ body: [Statement], variables: [String: JinjaInput]) throws(JinjaError) -> MarkedText {
        defer {
            for scope in scopes { scope.values = [:] }
            for namespace in namespaces { namespace.values = [] }
        }
        for (name, value) in variables { scope.values[name] = Value(value) }
        scope = Scope(in: scope)
        _ = try run(body)
        return output
    }

    func fail(_ message: String) -> JinjaError { JinjaError(kind: .evaluation, message: message, line: line) }

    private func limit(_ message: String) -> JinjaError { JinjaError(kind: .limit, message: message, line: line) }

    /// Takes steps from what is left.
    func charge(_ count: Int) throws(JinjaError) {
        steps -= min(count, limits.steps) + 1
        guard steps >= 0 else { throw limit("rendering takes more than \(limits.steps) steps") }
    }

    /// A value made on the way, if it is within the limits.
    func checked(_ value: Value) throws(JinjaError) -> Value {
        try charge(value.weight)
        if let text = value.text, text.bytes.count > limits.outputBytes {
            throw limit("a text has more than \(limits.outputBytes) bytes")
        }
        guard value.depth <= 64 else { throw limit("a value holds more than 64 levels of values") }
        return value
    }

    /// Refuses to make a text or list of `count` × `size` bytes or elements where it would be too large.
    func checkSize(_ count: Int, times size: Int) throws(JinjaError) {
        let (total, overflow) = count.multipliedReportingOverflow(by: size)
        guard !overflow, total <= limits.outputBytes, total >> 6 <= steps else {
            throw limit("a value would have more than \(limits.outputBytes) bytes")
        }
    }

    /// Runs a part one level deeper.
    func deeper<Result>(_ part: () throws(JinjaError) -> Result) throws(JinjaError) -> Result {
        depth += 1
        defer { depth -= 1 }
        guard depth <= limits.depth else { throw limit("more than \(limits.depth) expressions within one another") }
        return try part()
    }

    func write(_ text: MarkedText) throws(JinjaError) {
        try charge(text.bytes.count >> 6)
        guard output.bytes.count + text.bytes.count <= limits.outputBytes else {
            throw limit("the text has more than \(limits.outputBytes) bytes")
        }
        output.append(text)
    }

    /// The text that a part writes, apart from the rest.
    func captured(_ part: () throws(JinjaError) -> Void) throws(JinjaError) -> MarkedText {
        let outer = output
        output = MarkedText()
        defer { output = outer }
        try part()
        return output
    }

    /// Runs a part with variables of its own.
    func scoped<Result>(
        in parent: Scope? = nil, _ part: () throws(JinjaError) -> Result
    ) throws(JinjaError) -> Result {
        let outer = scope
        scope = Scope(in: parent ?? outer)
        defer { scope = outer }
        return try part()
    }

    /// Remembers to empty something at the end.
    func retain(_ scope: Scope) { if scopes.last !== scope { scopes.append(scope) } }
    func retain(_ namespace: Namespace) { namespaces.append(namespace) }
}
