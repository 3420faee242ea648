// SPDX-License-Identifier: Apache-2.0

/// Why a template could not be read or rendered.
public struct JinjaError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kinds of error.
    public enum Kind: Equatable, Sendable {
        /// The template is not written as Jinja wants it.
        case syntax
        /// The template uses a part of Jinja that is not supported here, such as `include`.
        case unsupported
        /// An operation has no meaning for its values, as in Python.
        case evaluation
        /// The template itself refused, with `raise_exception`.
        case raised
        /// A limit of ``JinjaLimits`` was reached.
        case limit
    }

    /// The kind of error.
    public let kind: Kind
    /// What is wrong, in words.
    public let message: String
    /// The line of the template, from 1.
    public let line: Int

    /// The message with its place.
    public var description: String {
        kind == .raised ? "the chat template refuses: \(message)" : "line \(line) of the chat template: \(message)"
    }
}

/// What bounds a rendering, so that no template can take a program's time or memory.
public struct JinjaLimits: Equatable, Sendable {
    /// Steps of the interpreter: one for each expression and statement, and one for every 64 bytes or list element that
    /// an operation goes over.
    public var steps: Int
    /// Expressions, statements and macro calls within one another.
    public var depth: Int
    /// Bytes of the rendered text, and of any text made on the way.
    public var outputBytes: Int

    /// Sets limits; the defaults leave room for documents of tens of megabytes.
    public init(steps: Int = 5_000_000, depth: Int = 300, outputBytes: Int = 64 << 20) {
        self.steps = steps
        self.depth = depth
        self.outputBytes = outputBytes
    }
}
