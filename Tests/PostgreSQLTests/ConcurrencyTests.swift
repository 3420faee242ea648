// SPDX-License-Identifier: Apache-2.0
import PostgreSQL
import TestSupport
import Testing

@Suite struct ConcurrencyTests {
    @Test func fiftyCallersShareOneConnection() async throws {
        try await withTestConnection { connection in
            try await withThrowingTaskGroup(of: (Int, Int).self) { group in
                for number in 0..<50 {
                    group.addTask {
                        for _ in 0..<20 { try await connection.query("SELECT 1") }
                        return (number, try await connection.query("SELECT $1::int8 AS n", [number]).onlyRow().get("n"))
                    }
                }
                for try await (sent, received) in group { #expect(sent == received) }
            }
        }
    }

    @Test func fiftyCallersShareAPool() async throws {
        try await withTestDatabase { settings in
            let client = PostgresClient(settings, size: 3)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        let row = try await client.query("SELECT $1::int8 AS n, pg_sleep(0.002)", [number]).onlyRow()
                        #expect(try row.get("n") == number)
                    }
                }
                try await group.waitForAll()
            }
            let sessions = try await client.query(
                "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
            ).onlyRow().get("n", as: Int.self)
            #expect((1...3).contains(sessions))
            await client.close()
            let closed = await postgresError { try await client.query("SELECT 1") }
            #expect(closed?.kind == .closed)
        }
    }

    @Test func cancellationStopsTheServerAndKeepsTheConnection() async throws {
        try await withTestConnection { connection in
            let process = await connection.backendProcessID
            for _ in 0..<5 {
                let task = Task { try await connection.query("SELECT pg_sleep(60)") }
                try await Task.sleep(for: .milliseconds(20))
                let waiting = Task { try await connection.query("SELECT 1") }
                waiting.cancel()
                task.cancel()
                await #expect(throws: CancellationError.self) { try await waiting.value }
                await #expect(throws: CancellationError.self) { try await task.value }
                #expect(try await connection.query("SELECT 1 AS n").onlyRow().get("n") == 1)
            }
            #expect(await connection.backendProcessID == process)
        }
    }

    /// A cancel request that comes late must never hit the statement after the one that it was meant for.
    @Test func cancellationNeverHitsTheNextStatement() async throws {
        try await withTestConnection { connection in
            for round in 0..<100 {
                let task = Task { try await connection.query("SELECT pg_sleep(0.001)") }
                let next = Task { try await connection.query("SELECT pg_sleep(0.002), $1::int8 AS n", [round]) }
                if round.isMultiple(of: 2) { try await Task.sleep(for: .microseconds(900 + round * 5)) }
                task.cancel()
                #expect(try await next.value.onlyRow().get("n") == round)
                _ = try? await task.value
            }
        }
    }

    @Test func cancelledCallersLeaveThePool() async throws {
        try await withTestDatabase { settings in
            let client = PostgresClient(settings, size: 1)
            let holder = Task { try await client.query("SELECT pg_sleep(60)") }
            try await Task.sleep(for: .milliseconds(50))
            let waiter = Task { try await client.query("SELECT 1") }
            try await Task.sleep(for: .milliseconds(10))
            waiter.cancel()
            await #expect(throws: CancellationError.self) { try await waiter.value }
            holder.cancel()
            await #expect(throws: CancellationError.self) { try await holder.value }
            #expect(try await client.query("SELECT 1 AS n").onlyRow().get("n") == 1)
            await client.close()
        }
    }

    @Test func closingFailsWhatRunsAndWaits() async throws {
        try await withTestConnection { connection in
            let running = Task { try await connection.query("SELECT pg_sleep(60)") }
            // Whichever task comes first has the connection.
            try await Task.sleep(for: .milliseconds(200))
            let waiting = Task { try await connection.query("SELECT 1") }
            try await Task.sleep(for: .milliseconds(30))
            await connection.close()
            await #expect(throws: PostgresError.self) { try await running.value }
            await #expect(throws: PostgresError.self) { try await waiting.value }
            let after = await postgresError { try await connection.query("SELECT 1") }
            #expect(after?.kind == .closed)
            #expect(await connection.isUsable == false)
            await connection.close()
        }
    }
}
