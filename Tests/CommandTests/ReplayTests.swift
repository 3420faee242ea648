// SPDX-License-Identifier: Apache-2.0

import Foundation
import PostgreSQL
import Testing

/// `deltakv replay` on jobs that a daemon has run.
@Suite(.serialized) struct ReplayTests {
    private struct Report: Decodable {
        struct Run: Decodable {
            let cachedTokens: Int
            let promptTokens: Int
            let outputTokens: Int
            let seconds: Double
        }

        let job: Int64
        let cached: Run
        let fresh: Run
        let difference: String?
    }

    private func replay(
        _ job: Int64, _ program: Program, policy: String = "deltakv"
    ) async throws -> (status: Int32, report: Report) {
        let outcome = try await program.run("replay", "--json", "--policy", policy, String(job)),
            decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        try #require(!outcome.output.isEmpty, "\(outcome.errors)")
        return (outcome.status, try decoder.decode(Report.self, from: Data(outcome.output.utf8)))
    }

    @Test func jobsGiveWhatTheyGaveOrItIsSaidWhereNot() async throws {
        try await withQueue { plain, client in
            try await TinyModel.with { model in
                let program = model.program(plain)
                let story = (0..<30).map { "On day \($0) the keeper counted \($0 * 37 % 91) ships. " }.joined()
                // Drawn with the job's own seed and with one that is given, several outputs, a conversation, a template's version.
                try await client.query(
                    """
                    SELECT deltakv.submit('summarize', document => $1, options => '{"temperature": 0.9, "max_tokens": 40}'),
                        deltakv.submit('summarize', document => $1, options =>
                            '{"temperature": 1, "max_tokens": 30, "seed": 5, "n": 3, "repetition_penalty": 1.2}'),
                        deltakv.submit('generate', options => '{"max_tokens": 9}', messages => jsonb_build_array(
                            jsonb_build_object('role', 'user', 'content', $1::text)))
                    """, [story])
                let daemon = try await program.run("daemon", "--drain")
                #expect(daemon.status == 0, "\(daemon.errors)")
                let ids: [Int64] = try await client.query(
                    "SELECT job_id FROM deltakv.results WHERE state = 'completed' ORDER BY job_id"
                ).map { try $0.get(0) }
                try #require(ids.count == 3)
                let events = "SELECT count(*) FROM deltakv.job_events", before = try await number(events, client)
                for id in ids {
                    let (status, report) = try await replay(id, program)
                    #expect(status == 0 && report.difference == nil && report.job == id, "\(report)")
                    #expect(report.cached.cachedTokens == (report.cached.promptTokens - 1) / 64 * 64)
                    #expect(report.fresh.cachedTokens == 0 && report.cached.cachedTokens > 500)
                    #expect(report.fresh.outputTokens == report.cached.outputTokens && report.fresh.seconds > 0)
                }
                let shown = try await program.run("replay", String(ids[0]))
                #expect(shown.status == 0 && shown.output.contains("both runs chose the same tokens"))
                #expect(try await number(events, client) == before)

                try await client.query(
                    "UPDATE deltakv.outcomes SET output = overlay(output placing '~' from 3) WHERE job_id = $1",
                    [ids[0]])
                let (status, report) = try await replay(ids[0], program)
                #expect(status == 1 && report.difference?.contains("recorded text differs from byte") == true)
                // Without a codec there is no cache, and nothing is found in one.
                let full = try await replay(ids[1], program, policy: "full").report
                #expect(full.cached.cachedTokens == 0 && full.cached.outputTokens == full.fresh.outputTokens)
                #expect(try await program.run("replay", "4711").errors.contains("there is no job 4711"))
                try await client.query("SELECT deltakv.submit('summarize', document => 'x')")
                let waiting = try await program.run("replay", String(ids[2] + 1))
                #expect(waiting.status == 1 && waiting.errors.contains("only completed jobs"), "\(waiting.errors)")
            }
        }
    }

    private func number(_ sql: String, _ client: PostgresClient) async throws -> Int {
        try await client.query(sql).onlyRow().get(0)
    }
}
