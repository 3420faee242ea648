// SPDX-License-Identifier: Apache-2.0

/// How a transaction sees others.
public enum PostgresIsolationLevel: String, Sendable {
    case readCommitted = "READ COMMITTED"
    case repeatableRead = "REPEATABLE READ"
    case serializable = "SERIALIZABLE"
}

/// An open transaction. It can be used only inside the closure that it was handed to.
public struct PostgresTransaction: PostgresQuerying {
    let runner: StatementRunner

    /// Runs one statement in the transaction.
    @discardableResult
    public func query(_ sql: String, _ parameters: [any PostgresEncodable], prepared: Bool) async throws
        -> PostgresResult
    {
        try await runner.query(sql, parameters, prepared: prepared)
    }

    /// Runs statements in the transaction. They must not end it.
    @discardableResult
    public func script(_ sql: String) async throws -> PostgresResult { try await runner.script(sql) }

    /// Loads rows in the transaction.
    @discardableResult
    public func copyIn<Rows: AsyncSequence>(
        _ target: PostgresCopyTarget, rows: Rows, isolation: isolated (any Actor)? = #isolation
    ) async throws -> Int where Rows.Element == [PostgresValue] {
        try await runner.copyIn(target, rows: rows)
    }
}

extension StatementRunner {
    func transaction<Value>(
        _ level: PostgresIsolationLevel, isolation: isolated (any Actor)? = #isolation,
        _ body: (PostgresTransaction) async throws -> Value
    ) async throws -> Value {
        try await withSession { runner in
            do {
                _ = try await runner.run(.script(sql: "BEGIN ISOLATION LEVEL \(level.rawValue)"))
                let value = try await body(PostgresTransaction(runner: runner))
                try await runner.commit()
                return value
            } catch {
                await runner.rollBack()
                throw error
            }
        }
    }

    private func commit() async throws {
        let result = try await run(.script(sql: "COMMIT"), isShielded: true)
        // The server answers so when an error was ignored inside; nothing was stored.
        guard result?.commandTag == "COMMIT" else {
            throw PostgresError(
                .server, "the transaction was rolled back, for one of its statements had failed", sqlState: "25P02")
        }
    }

    private func rollBack() async {
        guard await core.isInTransaction else { return }
        do {
            _ = try await run(.script(sql: "ROLLBACK"), isShielded: true)
        } catch {
            await core.lose(PostgresError(.connectionLost, "a transaction could not be rolled back"))
        }
    }
}
