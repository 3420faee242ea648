// SPDX-License-Identifier: Apache-2.0
import Database
import Foundation
import JobQueue
import Logging
import PostgreSQL
import Synchronization
import TestSupport
import Testing

/// Every migration, one after another, on a database with jobs in every state, while workers go on that call what the first
/// version had.
@Suite struct UpgradeTests {
    /// The first version with everything that a worker calls.
    private static let first = 5
    private static let all = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Migrations")

    @Test func oldWorkersSurviveEveryMigration() async throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.all.path).filter { $0.hasSuffix(".sql") }
            .sorted()
        let directory = try TestDirectory.make()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        func add(_ name: String) throws {
            try FileManager.default.copyItem(
                atPath: Self.all.appendingPathComponent(name).path, toPath: "\(directory)/\(name)")
        }
        for name in names.prefix(Self.first) { try add(name) }
        try await withTestDatabase { settings in
            func migrate() async throws -> Int {
                try await Migrator(directory: directory, logger: quietLogger).migrate(settings).count
            }
            #expect(try await migrate() == Self.first)
            let client = PostgresClient(settings, size: 6, logger: quietLogger)
            try await populate(client, round: 0)
            let end = End()
            let completed = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<3 {
                    group.addTask { try await OldWorker(client: client).run(until: end) }
                }
                for (round, name) in names.enumerated().dropFirst(Self.first) {
                    try add(name)
                    #expect(try await migrate() == 1, "\(name)")
                    try await populate(client, round: round)
                    try await Task.sleep(for: .milliseconds(100))
                }
                try await client.script(
                    "UPDATE deltakv.queue SET run_at = now() WHERE state IN ('scheduled', 'retryable')")
                end.hasCome.store(true, ordering: .sequentiallyConsistent)
                return try await group.reduce(0, +)
            }
            let fixture = QueueFixture(client: client, queue: JobQueue(client: client))
            let rounds = names.count - Self.first + 1
            // Of each round: one cancelled, one failed, and the rest completed.
            let states = try await fixture.client.query(
                "SELECT state::text, count(*) AS n FROM deltakv.outcomes GROUP BY state ORDER BY 1")
            let counts = try states.map { "\(try $0.get("state", as: String.self)) \(try $0.get("n", as: Int.self))" }
            #expect(counts == ["cancelled \(rounds)", "completed \(58 * rounds)", "failed \(rounds)"])
            #expect(completed == 58 * rounds)
            let events = "SELECT count(*), count(DISTINCT job_id) FROM deltakv.job_events WHERE event = 'completed'"
            let row = try await client.query(events).onlyRow()
            #expect(try row.get(0, as: Int.self) == completed && row.get(1, as: Int.self) == completed)
            #expect(try await fixture.inconsistencies() == 0)
            // And a worker of today goes on from there.
            try await populate(client, round: 99)
            var today = 0
            let worker = try await fixture.worker()
            while case let jobs = try await worker.claim(50, lease: .seconds(60)), !jobs.isEmpty {
                today += try await worker.complete(jobs.map { JobResult($0.lease) }).count { !$0.isFenced }
            }
            #expect(today == 57)
            #expect(try await fixture.inconsistencies() == 0)
            await client.close()
        }
    }

    /// Sixty jobs: one scheduled, one cancelled, one that has failed, one that waits to be tried again; the others wait.
    private func populate(_ client: PostgresClient, round: Int) async throws {
        try await client.script(
            """
            SELECT deltakv.submit('t', custom_id => 'failed', batch => 'apart \(round)', priority => 9, max_attempts => 1);
            DO $$
            DECLARE own bigint := deltakv.register_worker('populate', 1, '0'); job record;
            BEGIN
                SELECT c.job_id, c.token INTO job FROM deltakv.claim(own, 1, '60 s') c;
                PERFORM deltakv.fail(own, ARRAY[job.job_id], ARRAY[job.token], ARRAY['test'], ARRAY['it went wrong'],
                    ARRAY[NULL]::jsonb[], ARRAY[false]);
            END $$;
            SELECT deltakv.submit('t', custom_id => 'later', batch => 'apart \(round)', run_at => now() + interval '1 hour');
            SELECT deltakv.submit('t', custom_id => 'cancelled', batch => 'cancelled \(round)', run_at => now() + interval '1 hour');
            SELECT deltakv.cancel('cancelled \(round)');
            SELECT count(deltakv.submit('t', document => repeat('word ', n * 20), custom_id => n::text, batch => 'b \(round)',
                priority => n % 3)) FROM generate_series(1, 57) n
            """)
    }
}

/// Whether workers may stop when nothing is left.
private final class End: Sendable {
    let hasCome = Atomic(false)
}

/// Calls what workers of the first version called, and takes an error of a transaction that lost a lock for one to try again.
private struct OldWorker {
    let client: PostgresClient

    /// Works until it is told to stop and nothing is left; the result is how many jobs it completed.
    func run(until end: End) async throws -> Int {
        let id: Int64 = try await client.query("SELECT deltakv.register_worker('old', 1, '0')").onlyRow().get(0)
        var completed = 0
        while true {
            // Read before the claim: what is submitted before the end is seen by the claim after it.
            let ends = end.hasCome.load(ordering: .sequentiallyConsistent)
            let jobs = try await trying {
                try await client.query(
                    "SELECT job_id, token FROM deltakv.claim($1, 4, interval '60 s', NULL, NULL)", [id], prepared: true)
            }
            let ids = try jobs.map { try $0.get("job_id", as: Int64.self) }
            let tokens = try jobs.map { try $0.get("token", as: Int64.self) }
            if ids.isEmpty {
                if ends { return completed }
                _ = try await trying { try await client.query("SELECT * FROM deltakv.rescue()", [], prepared: true) }
                try await Task.sleep(for: .milliseconds(10))
                continue
            }
            _ = try await trying {
                try await client.query(
                    "SELECT * FROM deltakv.heartbeat($1, interval '60 s', $2, $3, $4::integer[], $4::integer[])",
                    [id, ids, tokens, ids.map { _ in 1 }], prepared: true)
            }
            let ones = ids.map { _ in 1 }, seconds = ids.map { _ in 0.1 }
            let settled = try await trying {
                try await client.query(
                    """
                    SELECT job_id, state::text FROM deltakv.complete(
                        $1, $2, $3, $4, $5, $6::integer[], $7::integer[], $6::integer[], $8, $8)
                    """,
                    [
                        id, ids, tokens, ids.map { _ in "x" }, ids.map { _ in "stop" }, ones, ids.map { _ in 0 },
                        seconds,
                    ],
                    prepared: true)
            }
            completed += try settled.filter { try $0.get("state", as: String?.self) == "completed" }.count
        }
    }

    private func trying(_ statement: () async throws -> PostgresResult) async throws -> PostgresResult {
        while true {
            do {
                return try await statement()
            } catch let error as PostgresError where error.sqlState?.hasPrefix("40") == true {
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }
}
