// SPDX-License-Identifier: Apache-2.0
import Logging

/// One session on a PostgreSQL server.
///
/// Statements run one at a time, in the order of the calls; any number of tasks may call at once. No call blocks a thread.
/// When the connection is lost it stays lost: `PostgresClient` is what reconnects.
public final class PostgresConnection: PostgresQuerying {
    let core: ConnectionCore
    private let runner: StatementRunner

    private init(core: ConnectionCore) {
        self.core = core
        runner = StatementRunner(core: core, session: nil)
    }

    deinit { core.perform { $0.lose(PostgresError(.closed, "the connection was closed")) } }

    /// Connects. Throws `PostgresError` of kind `connectionFailed`, `connectTimeout` or `server` (wrong password, no such
    /// database, too many connections), or `CancellationError`.
    public static func connect(
        _ settings: PostgresSettings, logger: Logger = Logger(label: "deltakv.postgresql")
    ) async throws -> PostgresConnection {
        let core = ConnectionCore(logger: logger)
        try await core.connect(settings)
        return PostgresConnection(core: core)
    }

    /// Runs one statement.
    @discardableResult
    public func query(_ sql: String, _ parameters: [any PostgresEncodable], prepared: Bool) async throws
        -> PostgresResult
    {
        try await runner.query(sql, parameters, prepared: prepared)
    }

    /// Runs statements separated by semicolons.
    @discardableResult
    public func script(_ sql: String) async throws -> PostgresResult { try await runner.script(sql) }

    /// Loads rows with COPY.
    @discardableResult
    public func copyIn<Rows: AsyncSequence>(
        _ target: PostgresCopyTarget, rows: Rows, isolation: isolated (any Actor)? = #isolation
    ) async throws -> Int where Rows.Element == [PostgresValue] {
        try await runner.copyIn(target, rows: rows)
    }

    /// Runs `body` in a transaction: committed when it returns, rolled back when it throws or the task is cancelled.
    /// Inside use only the transaction that it is handed; calls on the connection wait until it ends.
    @discardableResult
    public func transaction<Value>(
        _ level: PostgresIsolationLevel = .readCommitted, isolation: isolated (any Actor)? = #isolation,
        _ body: (PostgresTransaction) async throws -> Value
    ) async throws -> Value {
        try await runner.transaction(level, body)
    }

    /// Listens on a channel. The stream yields what is sent from now on, also while no statement runs, and ends with the
    /// connection. The session itself listens until the connection is closed.
    public func listen(_ channel: String) async throws -> AsyncStream<PostgresNotification> {
        let statement = "LISTEN \(try PostgresText.identifier(channel))"
        let stream = try await core.subscribe(channel)
        _ = try await runner.run(.script(sql: statement))
        return stream
    }

    /// Whether statements can still be run.
    public var isUsable: Bool { get async { await core.isUsable } }

    /// Whether a transaction is open, as after a script that began one.
    public var isInTransaction: Bool { get async { await core.isInTransaction } }

    /// Process id of the session on the server.
    public var backendProcessID: Int32 { get async { await core.backendProcessID } }

    /// The server's version as a number: 150004 is 15.4.
    public var serverVersion: Int { get async { await core.serverVersion } }

    /// A setting that the server reports unasked, as `server_encoding` or `TimeZone`; nil for others.
    public func parameter(_ name: String) async -> String? { await core.parameter(name) }

    /// Closes the connection. What runs or waits fails; streams of notifications end. May be called twice.
    public func close() async { await core.lose(PostgresError(.closed, "the connection was closed")) }
}
