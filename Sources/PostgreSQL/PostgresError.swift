// SPDX-License-Identifier: Apache-2.0

/// What went wrong in talking to PostgreSQL.
///
/// `description` holds what may be logged: the server's message and hint. The detail stays out of it, for the server
/// quotes rows and keys there. Passwords are in neither.
public struct PostgresError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Where the error arose.
    public enum Kind: Sendable, Hashable {
        /// The server refused a statement or a connection and said why; `sqlState` is set.
        case server
        /// No connection could be made.
        case connectionFailed
        /// No connection was made within the connect timeout.
        case connectTimeout
        /// The connection broke while a statement ran or waited; whether the statement took effect is unknown.
        case connectionLost
        /// The connection or client was closed before the statement was sent.
        case closed
        /// The request cannot be sent: NUL in text, too many parameters, wrong use of COPY.
        case invalidRequest
        /// The connection settings make no sense.
        case invalidSettings
    }

    /// Where the error arose.
    public let kind: Kind
    /// The primary message.
    public let message: String
    /// Five-character code of the SQL standard or of PostgreSQL ("PostgreSQL Error Codes" in its manual).
    public let sqlState: String?
    /// `ERROR`, `FATAL` or `PANIC`, not translated.
    public let severity: String?
    /// Detail from the server. May quote row values: do not log it.
    public let detail: String?
    /// Suggestion from the server.
    public let hint: String?
    /// Name of the violated constraint.
    public let constraint: String?
    /// Table that the error is about.
    public let table: String?
    /// Column that the error is about.
    public let column: String?
    /// Character position in the SQL text, from 1.
    public let position: Int?

    /// An error with the fields that the server sent, or with a message alone.
    public init(
        _ kind: Kind, _ message: String, sqlState: String? = nil, severity: String? = nil, detail: String? = nil,
        hint: String? = nil, constraint: String? = nil, table: String? = nil, column: String? = nil,
        position: Int? = nil
    ) {
        self.kind = kind
        self.message = message
        self.sqlState = sqlState
        self.severity = severity
        self.detail = detail
        self.hint = hint
        self.constraint = constraint
        self.table = table
        self.column = column
        self.position = position
    }

    /// The connection is gone or was never made; a later try on a new connection may succeed.
    public var isConnectionLoss: Bool {
        switch kind {
        case .connectionFailed, .connectTimeout, .connectionLost: true
        case .server: sqlState.map { Self.lossStates.contains($0) || $0.hasPrefix("08") } ?? false
        case .closed, .invalidRequest, .invalidSettings: false
        }
    }

    /// The same work may succeed when tried again later: connection loss, serialization failure, deadlock, lock or
    /// statement timeout, lack of connections, memory or disk.
    public var isTransient: Bool {
        if isConnectionLoss { return true }
        guard kind == .server, let sqlState else { return false }
        return Self.transientStates.contains(sqlState) || sqlState.hasPrefix("53")
    }

    /// The statement was stopped by a cancel request or by `statement_timeout`.
    public var isCancelledStatement: Bool { sqlState == "57014" }

    // admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout, idle_in_transaction_session_timeout
    private static let lossStates: Set<String> = ["57P01", "57P02", "57P03", "57P05", "25P03"]
    // serialization_failure, deadlock_detected, lock_not_available, query_canceled
    private static let transientStates: Set<String> = ["40001", "40P01", "55P03", "57014"]

    /// One plain sentence or two, safe to log.
    public var description: String {
        var text = "PostgreSQL"
        switch kind {
        case .server: text += " \(severity ?? "ERROR")" + (sqlState.map { " \($0)" } ?? "")
        case .connectionFailed: text += " connection failed"
        case .connectTimeout: text += " connection timed out"
        case .connectionLost: text += " connection lost"
        case .closed: text += " connection closed"
        case .invalidRequest: text += " request refused"
        case .invalidSettings: text += " settings refused"
        }
        text += ": \(message.prefix(1000))"
        if let hint { text += " (hint: \(hint))" }
        return text
    }
}
