// SPDX-License-Identifier: Apache-2.0
import Logging

/// What a client's stream of notifications yields.
public enum PostgresListenEvent: Sendable, Hashable {
    /// Listening is in force, for the first time or again after the connection was lost. What was sent before is
    /// missed: look for work now.
    case connected
    /// A notification arrived.
    case notification(PostgresNotification)
}

/// A small pool of connections that come back after a loss.
///
/// Connections are opened when needed and replaced when they are gone, with exponential backoff and jitter, for as long
/// as `patience` allows. A statement that was sent when the connection broke may have taken effect: it fails with an
/// error whose `isConnectionLoss` is true and is run again only when the caller says that this does no harm.
public final class PostgresClient: PostgresQuerying {
    /// How the database is reached.
    public let settings: PostgresSettings
    private let pool: ConnectionPool
    private let patience: Duration
    private let logger: Logger

    /// A client that has not connected yet.
    /// - Parameters:
    ///   - size: connections at most, not counting those that listen
    ///   - patience: how long a call keeps trying to connect before it fails; zero tries once
    public init(
        _ settings: PostgresSettings, size: Int = 4, patience: Duration = .seconds(30),
        logger: Logger = Logger(label: "deltakv.postgresql")
    ) {
        self.settings = settings
        self.patience = patience
        self.logger = logger
        pool = ConnectionPool(settings: settings, size: max(1, size), patience: patience, logger: logger)
    }

    /// Runs `body` with a connection of its own. A transaction left open is rolled back afterwards.
    @discardableResult
    public func withConnection<Value>(
        isolation: isolated (any Actor)? = #isolation, _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        let connection = try await pool.take()
        do {
            let value = try await body(connection)
            await pool.giveBack(connection)
            return value
        } catch {
            await pool.giveBack(connection)
            throw error
        }
    }

    /// Runs one statement.
    @discardableResult
    public func query(_ sql: String, _ parameters: [any PostgresEncodable], prepared: Bool) async throws
        -> PostgresResult
    {
        try await resending { try await $0.query(sql, parameters, prepared: prepared) }
    }

    /// Runs one statement that may safely run more than once; after a loss of the connection it is run again, until
    /// `patience` is used up.
    @discardableResult
    public func idempotentQuery(
        _ sql: String, _ parameters: [any PostgresEncodable] = [], prepared: Bool = false
    ) async throws -> PostgresResult {
        let clock = ContinuousClock()
        let end = clock.now + patience
        var backoff = Backoff()
        while true {
            do {
                return try await query(sql, parameters, prepared: prepared)
            } catch let error as PostgresError where error.isConnectionLoss && clock.now < end {
                logger.warning("Connection lost, running the statement again", metadata: ["reason": "\(error)"])
                try await backoff.wait()
            }
        }
    }

    /// Runs statements separated by semicolons.
    @discardableResult
    public func script(_ sql: String) async throws -> PostgresResult {
        try await resending { try await $0.script(sql) }
    }

    /// Loads rows with COPY.
    @discardableResult
    public func copyIn<Rows: AsyncSequence>(
        _ target: PostgresCopyTarget, rows: Rows, isolation: isolated (any Actor)? = #isolation
    ) async throws -> Int where Rows.Element == [PostgresValue] {
        try await withConnection { try await $0.copyIn(target, rows: rows) }
    }

    /// Runs `body` in a transaction: committed when it returns, rolled back when it throws or the task is cancelled.
    @discardableResult
    public func transaction<Value>(
        _ level: PostgresIsolationLevel = .readCommitted, isolation: isolated (any Actor)? = #isolation,
        _ body: (PostgresTransaction) async throws -> Value
    ) async throws -> Value {
        try await withConnection { try await $0.transaction(level, body) }
    }

    /// Listens on channels over a connection of its own, for as long as the stream is consumed. Every time listening
    /// comes into force the stream yields `connected`; after a loss it connects again and never gives up. It ends
    /// when the server refuses for good (wrong password, no such database), which is logged.
    public func listen(_ channels: [String]) -> AsyncStream<PostgresListenEvent> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: PostgresListenEvent.self, bufferingPolicy: .bufferingNewest(ConnectionCore.notificationBuffer))
        let listener = PostgresListener(settings: settings, channels: channels, logger: logger)
        let task = Task {
            await listener.run(yield: { continuation.yield($0) })
            continuation.finish()
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }

    /// Closes all connections; what runs or waits fails. Streams of notifications go on until their consumers stop.
    public func close() async { await pool.close() }

    /// Runs `body`, and again on another connection when the first was found dead before anything was sent.
    private func resending<Value>(
        isolation: isolated (any Actor)? = #isolation, _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        while true {
            do {
                return try await withConnection { connection in
                    do {
                        return try await body(connection)
                    } catch let error as PostgresError where error.kind == .closed {
                        throw UnsentStatement()
                    }
                }
            } catch is UnsentStatement {}
        }
    }

    private struct UnsentStatement: Error {}
}
