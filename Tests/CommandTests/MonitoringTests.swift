// SPDX-License-Identifier: Apache-2.0

import Foundation
import PostgreSQL
import Testing

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// What a working daemon lets others see of itself.
@Suite(.serialized) struct MonitoringTests {
    private func get(_ url: String) async -> (status: Int, body: String)? {
        guard let url = URL(string: url), let (data, response) = try? await URLSession.shared.data(from: url),
            let status = (response as? HTTPURLResponse)?.statusCode
        else { return nil }
        return (status, String(decoding: data, as: UTF8.self))
    }

    private func wait(_ what: String, _ condition: () async throws -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while try await !condition() {
            try #require(ContinuousClock.now < end, "waited too long: \(what)")
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    @Test func metricsHealthDashboardAndLogsTellOfTheWork() async throws {
        try await withQueue { program, client in
            try await client.query(
                """
                SELECT deltakv.submit('summarize', document => 'The river carries sand.', batch => 'b',
                    options => '{"max_tokens": 4}'), deltakv.submit('nothing of that name', document => 'x', batch => 'b')
                """)
            let daemon = try program.start([
                "daemon", "--metrics-listen", "127.0.0.1:0", "--dashboard-listen", "127.0.0.1:0", "--log-format",
                "json",
                "--log-level", "debug", "--poll", "200ms",
            ])
            try await wait("both are done") {
                try await client.query("SELECT FROM deltakv.outcomes").count == 2
            }
            let lines = try daemon.errorText.split(separator: "\n").map {
                try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "\($0)")
            }
            let job: Int = try await client.query("SELECT job_id FROM deltakv.outcomes WHERE state = 'completed'")
                .onlyRow()
                .get(0)
            let done = try #require(lines.first { $0["message"] as? String == "Job completed." })
            #expect(done["job"] as? String == "\(job)" && done["output_tokens"] as? String == "4")
            #expect(!daemon.errorText.contains("river"))

            let sites = lines.compactMap { $0["message"] as? String == "Listening." ? $0["address"] as? String : nil }
            try #require(sites.count == 2)
            var bodies: [String] = []
            for site in sites {
                if let ready = await get("http://\(site)/health/ready"), ready.status == 200 {
                    #expect(ready.body == #"{"ok":true,"problems":[]}"#)
                    bodies.append(try #require(await get("http://\(site)/metrics")).body)
                } else {
                    #expect(await get("http://\(site)/")?.body.contains("<title>deltakv</title>") == true)
                    #expect(
                        await get("http://\(site)/api/overview")?.body.contains(#""completed":1,"failed":1"#) == true)
                }
            }
            let metrics = try #require(bodies.first)
            for line in [
                #"deltakv_requests_total{outcome="completed"} 1"#, #"deltakv_requests_total{outcome="failed"} 1"#,
                "deltakv_generation_tokens_total 4", "deltakv_time_to_first_token_seconds_count 1",
                #"deltakv_queue_jobs{state="available"} 0"#,
            ] {
                #expect(metrics.contains("\n\(line)\n"), "\(line)")
            }
            try await wait("the daemon reports its load") {
                try await client.query(
                    "SELECT FROM deltakv.dashboard_workers WHERE kv_bytes > 0 AND prefill_tokens_per_second > 0"
                )
                .count == 1
            }
            daemon.send(SIGTERM)
            #expect(await daemon.outcome().status == 0)
        }
    }

    @Test func aDashboardOpenToAllNeedsAToken() async throws {
        try await withQueue { program, _ in
            let outcome = try await program.run("dashboard", "--listen", "0.0.0.0:0")
            #expect(outcome.status == 1 && outcome.errors.contains("DELTAKV_DASHBOARD_TOKEN"))
        }
    }
}
