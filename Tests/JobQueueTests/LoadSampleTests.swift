// SPDX-License-Identifier: Apache-2.0
import JobQueue
import PostgreSQL
import Testing

/// What daemons say about their load is kept for six hours.
@Suite struct LoadSampleTests {
    private let idle = WorkerLoad(
        seconds: 10, running: 0, kvUsedBytes: 0, kvBytes: 0, residentBytes: 0, promptTokens: 0, outputTokens: 0,
        prefillSeconds: 0, decodeSeconds: 0, steps: 0, sequenceSteps: 0)

    @Test func oldSamplesLeaveWhoeverWroteThem() async throws {
        try await withQueue { fixture in
            let gone = try await fixture.worker(), here = try await fixture.worker()
            try await gone.report(idle)
            // As if it had vanished a week ago, and nobody had been there since.
            try await fixture.client.script(
                """
                UPDATE deltakv.workers SET heartbeat_at = now() - interval '7 days';
                UPDATE deltakv.worker_samples SET sampled_at = now() - interval '7 days';
                INSERT INTO deltakv.worker_samples
                SELECT s.worker_id, s.sampled_at - n * interval '10 seconds', 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
                FROM deltakv.worker_samples s, generate_series(1, 149) n
                """)
            try await here.report(idle)
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.worker_samples") == 51)
            try await fixture.client.script(
                "UPDATE deltakv.worker_samples SET sampled_at = now() - interval '5 hours' WHERE worker_id = \(here.id)"
            )
            try await here.report(idle)
            let left = try await fixture.client.query("SELECT DISTINCT worker_id FROM deltakv.worker_samples")
            #expect(try left.map { try $0.get(0, as: Int64.self) } == [here.id])
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.worker_samples") == 2)
        }
    }
}
