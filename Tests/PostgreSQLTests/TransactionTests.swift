// SPDX-License-Identifier: Apache-2.0
import PostgreSQL
import TestSupport
import Testing

@Suite struct TransactionTests {
    private struct Refusal: Error {}

    private func count(_ connection: PostgresConnection) async throws -> Int {
        try await connection.query("SELECT count(*) AS n FROM t").onlyRow().get("n")
    }

    @Test func commitsOrRollsBack() async throws {
        try await withTestConnection { connection in
            try await connection.script("CREATE TABLE t (n int)")
            let value = try await connection.transaction { transaction in
                try await transaction.query("INSERT INTO t VALUES (1)")
                return 5
            }
            #expect(value == 5)
            await #expect(throws: Refusal.self) {
                try await connection.transaction { transaction in
                    try await transaction.query("INSERT INTO t VALUES (2)")
                    throw Refusal()
                }
            }
            let error = await postgresError {
                try await connection.transaction { _ = try await $0.query("INSERT INTO t VALUES (1/0)") }
            }
            #expect(error?.sqlState == "22012")
            #expect(try await count(connection) == 1)
            #expect(await connection.isInTransaction == false)
        }
    }

    @Test func anIgnoredErrorDoesNotPassForACommit() async throws {
        try await withTestConnection { connection in
            try await connection.script("CREATE TABLE t (n int)")
            let error = await postgresError {
                try await connection.transaction { transaction in
                    try await transaction.query("INSERT INTO t VALUES (1)")
                    _ = try? await transaction.query("SELECT 1/0")
                }
            }
            #expect(error?.sqlState == "25P02")
            #expect(try await count(connection) == 0)
        }
    }

    @Test func othersWaitUntilItEnds() async throws {
        try await withTestConnection { connection in
            try await connection.script("CREATE TABLE t (n int)")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<20 {
                    group.addTask {
                        try? await connection.transaction(.serializable) { transaction in
                            for _ in 0..<5 { try await transaction.query("INSERT INTO t VALUES (1)") }
                            if number.isMultiple(of: 2) { throw Refusal() }
                        }
                    }
                    group.addTask { try await connection.query("SELECT 1") }
                }
                try await group.waitForAll()
            }
            #expect(try await count(connection) == 50)
        }
    }

    @Test func cancellationRollsBack() async throws {
        try await withTestConnection { connection in
            try await connection.script("CREATE TABLE t (n int)")
            let task = Task {
                try await connection.transaction { transaction in
                    try await transaction.query("INSERT INTO t VALUES (1)")
                    try await transaction.query("SELECT pg_sleep(60)")
                }
            }
            try await Task.sleep(for: .milliseconds(50))
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(try await count(connection) == 0)
            #expect(await connection.isInTransaction == false)
        }
    }

    @Test func aHandleIsOfNoUseAfterwards() async throws {
        try await withTestConnection { connection in
            let handle = try await connection.transaction { $0 }
            let error = await postgresError { try await handle.query("SELECT 1") }
            #expect(error?.kind == .invalidRequest)
        }
    }

    @Test func aTransactionLeftOpenIsRolledBackByThePool() async throws {
        try await withTestDatabase { settings in
            let client = PostgresClient(settings, size: 1)
            try await client.script("CREATE TABLE t (n int)")
            try await client.withConnection { try await $0.script("BEGIN; INSERT INTO t VALUES (1)") }
            #expect(try await client.query("SELECT count(*) AS n FROM t").onlyRow().get("n") == 0)
            await client.close()
        }
    }
}
