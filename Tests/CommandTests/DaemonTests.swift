// SPDX-License-Identifier: Apache-2.0

import Database
import Foundation
import PostgreSQL
import Service
import TestSupport
import Testing

/// The daemon as a process, on a real queue with the real model.
@Suite(.serialized) struct DaemonTests {
    private func submit(_ count: Int, words: Int = 60, maxTokens: Int = 12, to client: PostgresClient) async throws {
        let document = String(repeating: "The river carries sand from the hills to the sea. ", count: words / 10)
        try await client.query(
            """
            SELECT count(deltakv.submit('summarize', document => 'Report ' || n || '. ' || $2, custom_id => n::text,
                batch => 'test', options => jsonb_build_object('max_tokens', $3::int)))
            FROM generate_series(1, $1::int) n
            """, [count, document, maxTokens])
    }

    private func number(_ sql: String, _ client: PostgresClient) async throws -> Int {
        try await client.query(sql).onlyRow().get(0)
    }

    private func wait(
        _ what: String, seconds: Double = 240, until condition: () async throws -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while try await !condition() {
            try #require(ContinuousClock.now < deadline, "waited in vain until \(what)")
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Every job has one result and one event that says so.
    private func expectEachCompletedOnce(_ count: Int, _ client: PostgresClient) async throws {
        #expect(
            try await number("SELECT count(*) FROM deltakv.results WHERE state = 'completed'", client) == count)
        let twice = try await number(
            """
            SELECT count(*) FROM (SELECT job_id FROM deltakv.job_events WHERE event = 'completed'
                GROUP BY job_id HAVING count(*) <> 1) t
            """, client)
        #expect(twice == 0)
        #expect(
            try await number("SELECT count(*) FROM deltakv.job_events WHERE event = 'completed'", client) == count)
        #expect(try await number("SELECT count(*) FROM deltakv.queue", client) == 0)
    }

    @Test func drainSummarisesEverythingAndReportsEachBadRowOnItself() async throws {
        try await withQueue { program, client in
            try await submit(3, to: client)
            try await client.script(
                """
                SELECT deltakv.submit('summarize', document => '   ', custom_id => 'empty', batch => 'test');
                SELECT deltakv.submit('summarise', document => 'x', custom_id => 'template', batch => 'test');
                SELECT deltakv.submit('summarize', document => repeat('word ', 9000), custom_id => 'long', batch => 'test');
                SELECT deltakv.submit('summarize', document => repeat('word ', 2000000), custom_id => 'huge', batch => 'test');
                SELECT deltakv.submit('summarize', document => 'x', custom_id => 'limit', batch => 'test',
                    options => '{"max_tokens": -1}');
                SELECT deltakv.submit('summarize', document => 'x', custom_id => 'name', batch => 'test',
                    options => '{"max_token": 1}');
                SELECT deltakv.submit('summarize', document => 'x', custom_id => 'shape', batch => 'test',
                    options => '[1, 2]');
                """)
            let outcome = try await program.run("daemon", "--drain")
            #expect(outcome.status == 0, "\(outcome.errors)")
            let failures = try await client.query(
                "SELECT custom_id, error_code FROM deltakv.results WHERE state = 'failed' ORDER BY custom_id")
            let codes = try failures.map { row in
                "\(try row.get(0, as: String.self)) \(try row.get(1, as: String.self))"
            }
            #expect(
                codes == [
                    "empty empty_document", "huge document_too_long", "limit invalid_options", "long document_too_long",
                    "name invalid_options",
                    "shape invalid_options", "template unknown_template",
                ])
            let sound = """
                SELECT count(*) FROM deltakv.results WHERE state = 'completed' AND output <> '' AND prompt_tokens > 60
                    AND output_tokens BETWEEN 1 AND 12 AND prefill_seconds > 0 AND finish_reason IN ('stop', 'length')
                """
            #expect(try await number(sound, client) == 3)
        }
    }

    @Test func afterKillEveryJobCompletesOnce() async throws {
        try await withQueue { program, client in
            // Prompts so long that the first job is done while others are still being read.
            try await submit(8, words: 1500, maxTokens: 30, to: client)
            let options = ["daemon", "--drain", "--lease", "3s", "--poll", "200ms"]
            for round in 1...2 {
                let victim = try program.start(options)
                try await wait("a job has finished in round \(round)") {
                    try await number("SELECT count(*) FROM deltakv.job_events WHERE event = 'completed'", client)
                        >= round
                }
                victim.send(SIGKILL)
                _ = await victim.outcome()
                #expect(try await number("SELECT count(*) FROM deltakv.queue WHERE state = 'running'", client) > 0)
            }
            let last = try await program.start(options).outcome()
            #expect(last.status == 0, "\(last.errors)")
            try await expectEachCompletedOnce(8, client)
            #expect(try await number("SELECT count(*) FROM deltakv.job_events WHERE event = 'rescued'", client) > 0)
            // An attempt that was cut short is not charged.
            #expect(try await number("SELECT max(attempts) FROM deltakv.results", client) == 1)
        }
    }

    @Test func twoDaemonsShareOneQueue() async throws {
        try await withQueue { program, client in
            try await submit(14, words: 300, to: client)
            let daemons = try (0..<2).map { _ in try program.start(["daemon", "--drain", "--poll", "200ms"]) }
            for daemon in daemons { #expect(await daemon.outcome().status == 0) }
            try await expectEachCompletedOnce(14, client)
            #expect(
                try await number("SELECT count(DISTINCT worker_id) FROM deltakv.results", client) == 2)
        }
    }

    @Test func terminationHandsJobsBackUncharged() async throws {
        try await withQueue { program, client in
            try await submit(4, words: 1500, maxTokens: 4000, to: client)
            let daemon = try program.start(["daemon", "--grace", "0s"])
            try await wait("jobs are running") {
                try await number("SELECT count(*) FROM deltakv.queue WHERE state = 'running'", client) == 4
            }
            daemon.send(SIGTERM)
            let outcome = await daemon.outcome()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(
                try await number("SELECT count(*) FROM deltakv.queue WHERE state = 'available' AND attempt = 0", client)
                    == 4)
            #expect(try await number("SELECT count(*) FROM deltakv.workers WHERE stopped_at IS NULL", client) == 0)
        }
    }

    @Test func terminationLetsShortJobsFinish() async throws {
        try await withQueue { program, client in
            try await submit(2, to: client)
            let daemon = try program.start(["daemon", "--grace", "60s"])
            try await wait("jobs are running") {
                try await number("SELECT count(*) FROM deltakv.job_events WHERE event = 'claimed'", client) == 2
            }
            daemon.send(SIGTERM)
            #expect(await daemon.outcome().status == 0)
            try await expectEachCompletedOnce(2, client)
        }
    }

    @Test func aRunningJobCanBeCancelled() async throws {
        try await withQueue { program, client in
            try await submit(1, words: 1500, maxTokens: 4000, to: client)
            let daemon = try program.start(["daemon", "--drain"])
            try await wait("the job is running") {
                try await number("SELECT count(*) FROM deltakv.queue WHERE state = 'running'", client) == 1
            }
            try await client.query("SELECT deltakv.cancel(batch => 'test')")
            #expect(await daemon.outcome().status == 0)
            #expect(try await number("SELECT count(*) FROM deltakv.results WHERE state = 'cancelled'", client) == 1)
            // A notification, a step of the engine and a write; a heartbeat would come after fifteen seconds only.
            let milliseconds = try await number(
                """
                SELECT round(extract(epoch FROM o.cancelled_at - e.occurred_at) * 1000)::integer
                FROM deltakv.outcomes o JOIN deltakv.job_events e ON e.event = 'cancel_requested' AND e.job_id = o.job_id
                """, client)
            #expect(milliseconds < 5000)
        }
    }

    @Test func aLostDatabaseConnectionIsSurvived() async throws {
        try await withQueue { program, client in
            try await submit(6, words: 300, maxTokens: 60, to: client)
            let daemon = try program.start(["daemon", "--drain", "--poll", "200ms"])
            for _ in 0..<3 {
                try await wait("something runs or all is done") {
                    try await number(
                        """
                        SELECT count(*) FILTER (WHERE state = 'running') + (count(*) = 0)::int FROM deltakv.queue
                        """, client) > 0
                }
                try await client.query(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()
                    """)
                try await Task.sleep(for: .milliseconds(200))
            }
            let outcome = await daemon.outcome()
            #expect(outcome.status == 0, "\(outcome.errors)")
            try await expectEachCompletedOnce(6, client)
        }
    }

    /// Two daemons that start at once with no compressor make one, from the queue's documents and the sample, and then work.
    @Test func daemonsCalibrateOnceWhenThePolicyAsksForIt() async throws {
        try await withQueue { program, client in
            try await submit(2, words: 600, to: client)
            let model = try ModelStore().path(of: ModelStore.defaultModel.name)
            let folder = NSTemporaryDirectory() + "deltakv-models-\(UUID().uuidString)"
            defer { try? FileManager.default.removeItem(atPath: folder) }
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(
                atPath: folder + "/\(ModelStore.defaultModel.name).gguf", withDestinationPath: model)
            let environment = program.environment.merging(
                ["DELTAKV_MODELS": folder, "DELTAKV_KV_POLICY": "deltakv"]) { _, new in new }
            let daemons = try (0..<2).map { _ in
                try Program(environment: environment).start(["daemon", "--drain", "--poll", "200ms"])
            }
            var errors: [String] = []
            for daemon in daemons {
                let outcome = await daemon.outcome()
                #expect(outcome.status == 0, "\(outcome.errors)")
                errors.append(outcome.errors)
            }
            #expect(errors.count { $0.contains("calibrating, once") } == 1, "\(errors)")
            #expect(errors.count { $0.contains("Using the compressor") } == 1, "\(errors)")
            #expect(FileManager.default.fileExists(atPath: folder + "/\(ModelStore.defaultModel.name).deltakv"))
            try await expectEachCompletedOnce(2, client)
        }
    }

    @Test func aDatabaseThatIsNotMigratedIsAClearError() async throws {
        try await withTestDatabase { settings in
            let program = Program(environment: [
                "DATABASE_URL": "", "PGHOST": settings.keywords["host"] ?? "",
                "PGUSER": settings.keywords["user"] ?? "", "PGDATABASE": settings.keywords["dbname"] ?? "",
            ])
            let outcome = try await program.run("daemon", "--drain")
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains("deltakv db migrate"))
        }
    }
}
