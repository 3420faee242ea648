// SPDX-License-Identifier: Apache-2.0

import Foundation
import PostgreSQL
import Testing

/// Daemons that are stopped and killed while they generate a long output, and others that go on with it.
@Suite(.serialized) struct CheckpointTests {
    private func number(_ sql: String, _ client: PostgresClient) async throws -> Int {
        try await client.query(sql).onlyRow().get(0)
    }

    private func wait(_ what: String, _ daemon: RunningProgram, until condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(240)
        while try await !condition() {
            try #require(
                ContinuousClock.now < deadline && daemon.isRunning, "waited in vain until \(what): \(daemon.errorText)")
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Runs a job twice, once undisturbed; the other time its daemon is told to stop, and the next one killed.
    private func expectTheSame(_ tokens: Int, words: Int, _ program: Program, _ client: PostgresClient) async throws {
        let document = String(repeating: "The river carries sand from the hills to the sea. ", count: words / 10)
        func submit(_ name: String) async throws {
            try await client.query(
                """
                SELECT deltakv.submit('summarize', document => $1, custom_id => $2, options => jsonb_build_object(
                    'max_tokens', $3::int, 'min_tokens', $3::int, 'temperature', 0.8, 'seed', 3, 'repetition_penalty', 1.1))
                """, [document, name, tokens])
        }
        let options = ["daemon", "--drain", "--lease", "3s", "--poll", "200ms", "--grace", "0s"]
        try await submit("undisturbed")
        #expect(try await program.start(options).outcome().status == 0)
        try await submit("disturbed")
        let saved = "SELECT coalesce(max(cardinality(output)), 0) FROM deltakv.checkpoints"
        let stopped = try program.start(options)
        try await wait("some tokens are there", stopped) {
            try await number("SELECT coalesce(max(output_tokens_done), 0) FROM deltakv.queue", client) > 4
        }
        stopped.send(SIGTERM)
        #expect(await stopped.outcome().status == 0)
        let first = try await number(saved, client)
        #expect(first > 4 && first < tokens)
        let killed = try program.start(options)
        try await wait("more is written down", killed) { try await number(saved, client) >= first + 256 }
        killed.send(SIGKILL)
        _ = await killed.outcome()
        let second = try await number(saved, client)
        let last = try await program.start(options).outcome()
        #expect(last.status == 0, "\(last.errors)")
        let rows = try await client.query(
            """
            SELECT output, output_tokens, resumed_tokens, finish_reason FROM deltakv.results ORDER BY job_id
            """)
        try #require(rows.count == 2)
        #expect(try rows[0].get("output", as: String.self) == rows[1].get("output", as: String.self))
        #expect(try rows[0].get("finish_reason", as: String.self) == rows[1].get("finish_reason", as: String.self))
        #expect(try rows.map { try $0.get("output_tokens", as: Int.self) } == [tokens, tokens])
        // The last attempt decoded what was not written down, and nothing else.
        #expect(try rows.map { try $0.get("resumed_tokens", as: Int.self) } == [0, second])
        #expect(second >= first + 256)
        #expect(try await number(saved, client) == 0)
    }

    @Test func theDefaultModelGoesOnWhereItWasCutShort() async throws {
        try await withQueue { program, client in
            try await expectTheSame(1500, words: 300, program, client)
        }
    }

    @Test func codedPromptsMakeNoDifference() async throws {
        try await withQueue { program, client in
            try await TinyModel.with { model in
                try await expectTheSame(20_000, words: 300, model.program(program), client)
            }
        }
    }
}
