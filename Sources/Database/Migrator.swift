// SPDX-License-Identifier: Apache-2.0
import Logging
import PostgreSQL

/// Brings a database to the state that numbered SQL files describe.
///
/// Each file runs in a transaction of its own together with the record of it, under a lock that lets one migrator work at
/// a time. A file that was applied must never change; its SHA-256 is checked each time.
public struct Migrator: Sendable {
    /// Where the files were read from, for messages.
    public let directory: String
    /// The files, in order.
    public let migrations: [Migration]
    private let lockWait: Duration
    private let patience: Duration
    private let logger: Logger

    /// A migrator for the files `NNNN_name.sql` in `directory`. Throws `DatabaseError` where they are not in order.
    /// - Parameters:
    ///   - lockWait: how long a file may wait for a lock, and hold up those behind it, before it steps back
    ///   - patience: how long it is tried again then
    public init(
        directory: String, lockWait: Duration = .seconds(2), patience: Duration = .seconds(600),
        logger: Logger = Logger(label: "deltakv.database")
    ) throws(DatabaseError) {
        self.directory = directory
        self.lockWait = lockWait
        self.patience = patience
        self.logger = logger
        migrations = try Migration.load(from: directory)
    }

    /// Applies what is pending and returns it; waits while another migrator works. Throws `DatabaseError` where the
    /// database does not fit the files or a file fails (those before it stay applied), or `PostgresError`.
    @discardableResult
    public func migrate(_ settings: PostgresSettings) async throws -> [Migration] {
        try await withConnection(settings) { connection in
            try await checkServer(connection)
            // The lock belongs to the session, so that it is let go of even when this process is killed.
            try await connection.query("SELECT pg_advisory_lock($1)", [Self.lockKey])
            try await createTable(connection)
            let pending = try MigrationPlan.pending(
                migrations, applied: try await applied(on: connection), directory: directory)
            for migration in pending { try await apply(migration, on: connection) }
            return pending
        }
    }

    /// All migrations, those of the database and those pending, in order. Changes nothing. Throws as `migrate` does.
    public func status(_ settings: PostgresSettings) async throws -> [MigrationStatus] {
        try await withConnection(settings) { connection in
            let applied = try await tableExists(connection) ? try await applied(on: connection) : []
            let pending = try MigrationPlan.pending(migrations, applied: applied, directory: directory)
            return applied.map { MigrationStatus(version: $0.version, name: $0.name, appliedAt: $0.appliedAt) }
                + pending.map { MigrationStatus(version: $0.version, name: $0.name, appliedAt: nil) }
        }
    }

    /// Key of the advisory lock: "deltakv" in ASCII.
    private static let lockKey: Int64 = 0x0064_656c_7461_6b76

    private func withConnection<Value>(
        _ settings: PostgresSettings, isolation: isolated (any Actor)? = #isolation,
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        let connection = try await PostgresConnection.connect(settings, logger: logger)
        do {
            let value = try await body(connection)
            await connection.close()
            return value
        } catch {
            await connection.close()
            throw error
        }
    }

    private func checkServer(_ connection: PostgresConnection) async throws {
        let version = await connection.serverVersion / 10_000
        guard version >= ServerInstallation.minimumVersion else {
            throw DatabaseError(
                "The server is PostgreSQL \(version); deltakv needs \(ServerInstallation.minimumVersion) or later.")
        }
        let encoding = await connection.parameter("server_encoding") ?? "unknown"
        guard encoding == "UTF8" else {
            throw DatabaseError(
                "The database has the encoding \(encoding); deltakv needs UTF8. Make one with:"
                    + " CREATE DATABASE deltakv ENCODING 'UTF8' TEMPLATE template0.")
        }
    }

    private func createTable(_ connection: PostgresConnection) async throws {
        if try await tableExists(connection) { return }
        try await connection.script(
            """
            CREATE SCHEMA IF NOT EXISTS deltakv;
            CREATE TABLE IF NOT EXISTS deltakv.migrations (
                version    integer PRIMARY KEY CHECK (version > 0),
                name       text NOT NULL,
                sha256     text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
            );
            COMMENT ON TABLE deltakv.migrations IS 'Migrations applied to this schema, with the SHA-256 of their files';
            """)
    }

    private func tableExists(_ connection: PostgresConnection) async throws -> Bool {
        try await connection.query("SELECT to_regclass('deltakv.migrations') IS NOT NULL AS exists").onlyRow()
            .get("exists")
    }

    private func applied(on connection: PostgresConnection) async throws -> [AppliedMigration] {
        let rows = try await connection.query(
            "SELECT version, name, sha256, applied_at FROM deltakv.migrations ORDER BY version")
        return try rows.map { row in
            AppliedMigration(
                version: try row.get("version"), name: try row.get("name"), checksum: try row.get("sha256"),
                appliedAt: try row.get("applied_at"))
        }
    }

    /// Applies a file. While others hold locks that it needs, whoever comes after it would wait behind it: so it steps back
    /// after a moment, lets them pass, and tries again.
    private func apply(_ migration: Migration, on connection: PostgresConnection) async throws {
        let end = ContinuousClock.now + patience
        while true {
            do {
                return try await attempt(migration, on: connection)
            } catch let error as PostgresError where Self.isLocked(error) && ContinuousClock.now < end {
                logger.notice(
                    "Waiting for others' locks", metadata: ["file": "\(migration.fileName)", "reason": "\(error)"])
                try await Task.sleep(for: lockWait)
            } catch let error as PostgresError where error.kind == .server && !error.isConnectionLoss {
                let line = error.position.map { " at line \(Self.line(of: $0, in: migration.sql))" } ?? ""
                throw DatabaseError("\(migration.fileName) failed\(line) and was rolled back: \(error)")
            }
        }
    }

    /// Lock timeouts and deadlocks.
    private static func isLocked(_ error: PostgresError) -> Bool {
        error.sqlState == "55P03" || error.sqlState == "40P01"
    }

    private func attempt(_ migration: Migration, on connection: PostgresConnection) async throws {
        try await connection.transaction { transaction in
            try await transaction.script("SET LOCAL lock_timeout = \(Int(lockWait / .milliseconds(1)))")
            let before = try await Self.transactionID(transaction)
            try await transaction.script(migration.sql)
            guard try await Self.transactionID(transaction) == before else {
                throw DatabaseError(
                    "\(migration.fileName) ends the transaction that it runs in; take BEGIN, COMMIT and ROLLBACK out of"
                        + " it, and undo by hand what it stored.")
            }
            try await transaction.query(
                "INSERT INTO deltakv.migrations (version, name, sha256) VALUES ($1, $2, $3)",
                [migration.version, migration.name, migration.checksum])
        }
        // What a file set for its session must not reach the next one.
        try await connection.script("RESET ALL; RESET ROLE")
        logger.info("Applied migration", metadata: ["file": "\(migration.fileName)"])
    }

    private static func transactionID(_ transaction: PostgresTransaction) async throws -> String {
        try await transaction.query("SELECT pg_current_xact_id() AS id").onlyRow().get("id")
    }

    private static func line(of position: Int, in sql: String) -> Int {
        1 + sql.unicodeScalars.prefix(position - 1).count { $0 == "\n" }
    }
}
