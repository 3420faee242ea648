// SPDX-License-Identifier: Apache-2.0

/// A template in the part of Jinja that chat templates use, rendered as jinja2 3.1 renders it in the environment that
/// transformers sets up: `trim_blocks`, `lstrip_blocks`, loop controls, `{% generation %}`, `raise_exception`,
/// `strftime_now`, a `tojson` that keeps characters as they are, and values that no template can change.
///
/// No I/O, no clock, no shared state: a rendering depends on its arguments alone. Untrusted templates are safe to
/// render: ``JinjaLimits`` bound time and memory.
public struct JinjaTemplate: Sendable {
    private let body: [Statement]

    /// Reads a template.
    ///
    /// - Throws: ``JinjaError`` of the kind `syntax`, `unsupported`, or `limit` where it nests too deep.
    public init(_ source: String) throws(JinjaError) {
        var parser = Parser(try Lexer.tokens(of: source))
        body = try parser.template()
    }

    /// Renders the template.
    ///
    /// - Parameters:
    ///   - variables: What the template may name.
    ///   - date: What `strftime_now` takes for now.
    ///   - limits: What bounds time and memory.
    /// - Returns: The text in pieces, which say what comes from texts marked as input and what from the template.
    public func render(
        _ variables: [String: JinjaInput], date: JinjaDate = JinjaDate(), limits: JinjaLimits = JinjaLimits()
    ) throws(JinjaError) -> [JinjaPiece] {
        let interpreter = Interpreter(limits: limits, date: date)
        return try interpreter.render(body, variables: variables).pieces
    }
}

/// A value given to a template.
public indirect enum JinjaInput: Sendable {
    /// Python's `None`.
    case none
    /// A truth value.
    case bool(Bool)
    /// A whole number.
    case integer(Int)
    /// Any other number.
    case number(Double)
    /// A text of the program's own.
    case text(String)
    /// A text from elsewhere: whatever it becomes stays marked.
    case input(String)
    /// A list.
    case list([JinjaInput])
    /// A dictionary in order; keys are texts of the program's own.
    case object([(key: String, value: JinjaInput)])
    /// A dictionary from elsewhere, in order: its keys are marked like ``input(_:)``.
    case inputObject([(key: String, value: JinjaInput)])
}

/// A part of a rendered text.
public struct JinjaPiece: Equatable, Sendable {
    /// The text.
    public let text: String
    /// Whether it comes from a text marked as input.
    public let isInput: Bool
}
