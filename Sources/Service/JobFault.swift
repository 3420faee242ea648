// SPDX-License-Identifier: Apache-2.0

import Engine

/// Why one job failed: goes to the job's own row, and the rest of the batch goes on.
public struct JobFault: Error, Equatable, CustomStringConvertible {
    /// The kinds of failure, as they stand in `deltakv.results.error_code`.
    public enum Code: String, Sendable, CaseIterable {
        case emptyDocument = "empty_document"
        case documentTooLong = "document_too_long"
        case unknownTemplate = "unknown_template"
        case missingVariable = "missing_variable"
        case invalidOptions = "invalid_options"
        case invalidMessages = "invalid_messages"
        case chatTemplateFailed = "chat_template_failed"
        case exceedsMemory = "exceeds_memory"
        case numericalFailure = "numerical_failure"
        case attemptTimeout = "attempt_timeout"
        case internalFailure = "internal_failure"
    }

    /// The kind of failure.
    public let code: Code
    /// What is wrong and what to do.
    public let message: String

    /// Whether another attempt may succeed.
    public var isTransient: Bool { code == .internalFailure || code == .attemptTimeout }

    /// The code and the message.
    public var description: String { "\(code.rawValue): \(message)" }

    static let attemptTimeout = JobFault(.attemptTimeout, "the attempt ran longer than it may")

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// A failure of the engine, as the job's row shows it.
    init(_ error: GenerationError) {
        let code: Code =
            switch error {
            case .emptyPrompt: .emptyDocument
            case .promptTooLong: .documentTooLong
            case .exceedsMemory: .exceedsMemory
            case .invalidOption: .invalidOptions
            case .numericalFailure: .numericalFailure
            case .invalidToken, .modelFailure, .engineStopped: .internalFailure
            }
        self.init(code, error.description)
    }
}
