// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import PostgreSQL
import Testing

/// What is found to be wrong with a job at submission stands on its row and stops no other.
@Suite(.serialized) struct SubmissionCheckTests {
    private func codes(_ fixture: QueueFixture, batch: String) async throws -> [String: String] {
        let rows = try await fixture.client.query(
            "SELECT custom_id, coalesce(error_code, state::text) FROM deltakv.results WHERE batch = $1", [batch])
        return Dictionary(
            uniqueKeysWithValues: try rows.map { (try $0.get(0, as: String.self), try $0.get(1, as: String.self)) })
    }

    @Test func badRowsStopNoOthers() async throws {
        try await withQueue { fixture in
            try await fixture.client.script(
                """
                SELECT count(deltakv.submit('t', document => 'd', custom_id => n::text, batch => 'b',
                    options => CASE WHEN n % 3 = 0 THEN '{"max_tokens": 0}' ELSE '{"max_tokens": 5}' END::jsonb))
                FROM generate_series(1, 30000) n;
                SELECT count(deltakv.submit('t', custom_id => n::text, batch => 'all bad', options => '[]'))
                FROM generate_series(1, 15000) n
                """)
            let batches = try await fixture.queue.progress()
            #expect(batches.map(\.batch) == ["all bad", "b"])
            #expect(batches.map { $0.counts[.failed] } == [15000, 10000])
            #expect(batches.map { $0.counts[.available] } == [0, 20000])
            #expect(try await fixture.inconsistencies() == 0)
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.rejections") == 0)
            // What is right now may be tried again.
            #expect(try await fixture.queue.redrive(.batch("all bad")) == 15000)
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func templatesVersionsAndDeadlinesAreLookedAt() async throws {
        try await withQueue { fixture in
            // Before a daemon has said which templates there are, any may be.
            try await fixture.client.query("SELECT deltakv.submit('later', custom_id => 'early', batch => 'b')")
            try await fixture.queue.syncTemplate(named: "t", yaml: "one")
            try await fixture.client.script(
                """
                SELECT deltakv.submit('t', custom_id => 'right', batch => 'b', version => 1,
                    deadline => now() + interval '1 hour');
                SELECT deltakv.submit('later', custom_id => 'name', batch => 'b');
                SELECT deltakv.submit('t', custom_id => 'version', batch => 'b', version => 2);
                SELECT deltakv.submit('t', custom_id => 'past', batch => 'b', deadline => now());
                SELECT deltakv.submit('t', custom_id => 'never', batch => 'b', run_at => now() + interval '2 hours',
                    deadline => now() + interval '1 hour');
                SELECT deltakv.submit('t', custom_id => 'roles', batch => 'b', messages => '[{"role": "robot", "content": ""}]');
                SELECT deltakv.submit('t', custom_id => 'last', batch => 'b',
                    messages => '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]');
                SELECT deltakv.submit('t', custom_id => 'variables', batch => 'b', variables => '{"a": 1}')
                """)
            #expect(
                try await codes(fixture, batch: "b") == [
                    "early": "available", "right": "available", "name": "unknown_template",
                    "version": "unknown_template", "past": "deadline_passed", "never": "deadline_passed",
                    "roles": "invalid_messages", "last": "invalid_messages", "variables": "invalid_options",
                ])
        }
    }

    @Test func copyIntoTheViewSubmits() async throws {
        try await withQueue { fixture in
            let columns = ["template", "document", "custom_id", "batch", "options", "variables"]
            let rows: [[PostgresValue]] = [
                ["t", "one", "1", "c", "{\"max_tokens\": 3}", nil], ["t", "two", "2", "c", "{\"max_tokens\":", nil],
                ["t", "three", "3", "c", nil, "{\"a\": \"\\u0000\"}"], ["t", "four", "4", "c", nil, "{\"a\": \"b\"}"],
            ]
            let count = try await fixture.client.copyIn(
                PostgresCopyTarget(schema: "deltakv", table: "submissions", columns: columns), rows: rows)
            #expect(count == 4)
            #expect(
                try await codes(fixture, batch: "c") == [
                    "1": "available", "2": "invalid_options", "3": "invalid_options", "4": "available",
                ])
            let inserted = try await fixture.integer(
                "INSERT INTO deltakv.submissions (template, document) VALUES ('t', 'x') RETURNING job_id")
            #expect(try await fixture.queue.job(Int64(inserted))?.document == "x")
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.submissions") == 0)
        }
    }

    @Test func arraysAnswerForEachElement() async throws {
        try await withQueue { fixture in
            let jobs = """
                [{"template": "t", "document": "d", "custom_id": "x", "tags": ["a"], "priority": 3}, 7, {"doc": 1},
                 {"template": "t", "custom_id": "x", "document": "e"}, {"priority": "high"},
                 {"custom_id": "bad", "options": {"top_p": 0}}, {"document": 4}, {"max_attempts": 0}, {"tags": 5},
                 {"messages": [{"role": "user", "content": "hello"}]}, {"depends_on": [99999]}, {"deadline": "soon"}]
                """
            let rows = try await fixture.client.query(
                "SELECT * FROM deltakv.submit_many($1::text::jsonb, 'u', 'm') ORDER BY place", [jobs])
            let codes = try rows.map { try $0.get("error_code", as: String?.self) }
            let invalid = "invalid_job"
            #expect(
                codes == [
                    nil, invalid, invalid, "custom_id_taken", invalid, "invalid_options", invalid, invalid, invalid,
                    nil,
                    invalid, invalid,
                ])
            #expect(try rows.map { try $0.get("place", as: Int.self) } == Array(1...12))
            let ids = try rows.map { try $0.get("job_id", as: Int64?.self) }
            #expect(ids.map { $0 != nil } == codes.map { $0 == nil || $0 == "invalid_options" })
            #expect(try await fixture.queue.job(try #require(ids[0]))?.summary.priority == 3)
            #expect(try await fixture.queue.job(try #require(ids[9]))?.summary.template == "u")
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.jobs") == 3)
            await #expect(throws: PostgresError.self) {
                try await fixture.client.query("SELECT deltakv.submit_many('{}')")
            }
        }
    }

    @Test func whatWasRefusedIsNamedAgain() async throws {
        try await withQueue { fixture in
            let jobs = """
                [{"custom_id": "good"}, {"custom_id": "bad", "options": {"top_p": 0}}, {"custom_id": "late"}]
                """
            func submit() async throws -> [String?] {
                try await fixture.client.query("SELECT * FROM deltakv.submit_many($1::text::jsonb, 't', 'b')", [jobs])
                    .map {
                        try $0.get("error_code", as: String?.self)
                    }
            }
            let codes = [nil, "invalid_options", nil]
            #expect(try await submit() == codes)
            // What failed later was not wrong when it was submitted.
            let worker = try await fixture.worker()
            let late = try #require(
                try await worker.claim(9, lease: .seconds(60)).first { $0.customID == "late" })
            _ = try await worker.fail([JobFailure(late.lease, retryable: false)])
            #expect(try await submit() == codes)
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.jobs") == 3)
        }
    }
}
