// SPDX-License-Identifier: Apache-2.0
import PostgreSQL
import TestSupport
import Testing

@Suite struct LossTests {
    @Test func aTerminatedBackendIsReportedAndReplaced() async throws {
        try await withTestDatabase { settings in
            let client = PostgresClient(settings, size: 1, logger: quietLogger)
            let killer = try await PostgresConnection.connect(settings)
            let victim = try await client.withConnection { await $0.backendProcessID }
            let running = Task { try await client.query("SELECT pg_sleep(60)") }
            let isActive = "SELECT state = 'active' AS active FROM pg_stat_activity WHERE pid = $1"
            while try await !killer.query(isActive, [victim]).onlyRow().get("active", as: Bool.self) {
                try await Task.sleep(for: .milliseconds(20))
            }
            try await killer.query("SELECT pg_terminate_backend($1)", [victim])
            let error = await postgresError { _ = try await running.value }
            #expect(error?.sqlState == "57P01" && error?.isConnectionLoss == true && error?.isTransient == true)
            let next = try await client.withConnection { await $0.backendProcessID }
            #expect(next != victim)
            // One that dies while idle is replaced without anyone noticing, even when the news is not in yet.
            try await killer.query("SELECT pg_terminate_backend($1, 5000)", [next])
            #expect(try await client.query("SELECT 1 AS n").onlyRow().get("n") == 1)
            await killer.close()
            await client.close()
        }
    }

    @Test func onlyIdempotentStatementsRunAgain() async throws {
        try await withTestDatabase { settings in
            let client = PostgresClient(settings, size: 1, logger: quietLogger)
            try await client.script("CREATE SEQUENCE s")
            // Each run counts in the sequence, which no loss takes back; the first one kills its own session.
            let sql = """
                SELECT CASE WHEN nextval('s') = 1 THEN pg_terminate_backend(pg_backend_pid()) END, pg_sleep(0.1), 5 AS n
                """
            #expect(try await client.idempotentQuery(sql).onlyRow().get("n") == 5)
            try await client.script("SELECT setval('s', 1, false)")
            let error = await postgresError { try await client.query(sql) }
            #expect(error?.isConnectionLoss == true)
            #expect(try await client.query("SELECT nextval('s') AS n").onlyRow().get("n") == 2)
            await client.close()
        }
    }

    @Test func refusedConnectionsSayWhy() async throws {
        try await withTestDatabase { settings in
            let unknown = await postgresError {
                _ = try await PostgresConnection.connect(settings.with(database: "no_such_database"))
            }
            #expect(unknown?.kind == .server && unknown?.sqlState == "3D000", "\(String(describing: unknown))")
            #expect(unknown?.isTransient == false)
            #expect(
                unknown?.message.contains("no_such_database") == true && unknown?.message.contains("LOCATION") == false)
            var nowhere = settings
            nowhere.keywords["host"] = "/nonexistent"
            nowhere.keywords["password"] = "secret-word"
            let absent = await postgresError {
                _ = try await PostgresClient(nowhere, patience: .zero, logger: quietLogger).query("SELECT 1")
            }
            #expect(absent?.kind == .connectionFailed && absent?.isTransient == true)
            #expect(absent.map { "\($0)".contains("secret-word") } == false)
            var odd = settings
            odd.keywords["nonsense"] = "secret-word"
            let option = await postgresError { _ = try await PostgresConnection.connect(odd) }
            #expect(option.map { "\($0)".contains("secret-word") } == false)
        }
    }

    /// A server that accepts and says nothing.
    @Test func connectingGivesUpInTimeAndCanBeCancelled() async throws {
        let socket = try SilentServer()
        var settings = PostgresSettings(keywords: [
            "host": socket.directory, "port": "5432", "user": "x", "dbname": "x", "connect_timeout": "1",
        ])
        let error = await postgresError { _ = try await PostgresConnection.connect(settings) }
        #expect(error?.kind == .connectTimeout)
        settings.keywords["connect_timeout"] = "60"
        let task = Task { [settings] in try await PostgresConnection.connect(settings) }
        try await Task.sleep(for: .milliseconds(50))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
