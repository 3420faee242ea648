// SPDX-License-Identifier: Apache-2.0

import Database
import Foundation
import JobQueue
import Monitoring
import PostgreSQL
import TestSupport
import Testing

@testable import Web

@Suite(.serialized) struct DashboardTests {
    private static let token = "a token that is long enough"

    /// Jobs in every state: 3 completed, 1 failed, 2 running, 4 waiting, 1 scheduled.
    private func work(_ queue: JobQueue, _ client: PostgresClient) async throws -> JobWorker {
        let worker = try await queue.register(host: "test", processID: 1, version: "0")
        try await queue.submit(
            (0..<10).map {
                JobSubmission(template: "summarize", document: "secret document \($0)", customID: "\($0)", batch: "b")
            }
                + [
                    JobSubmission(
                        template: "summarize", document: "later", batch: "b", runAt: .now.addingTimeInterval(3600))
                ])
        let jobs = try await worker.claim(6, lease: .seconds(60))
        _ = try await worker.complete(
            jobs[..<3].map {
                JobResult(
                    lease: $0.lease, output: "secret output", finishReason: "stop",
                    usage: JobUsage(
                        promptTokens: 100, cachedTokens: 40, outputTokens: 7, prefillSeconds: 0.5, decodeSeconds: 1))
            })
        _ = try await worker.fail([
            JobFailure(
                lease: jobs[3].lease, error: JobError(code: "invalid_options", message: "secret reason", detail: nil),
                isRetryable: false)
        ])
        try await client.query(
            """
            SELECT deltakv.sync_cache_store(gen_random_uuid(), 'h', '/cache', 100, 100, 5, 2.5, 0, 0, 0, 0, 0, 0, 0, 0,
                ARRAY['absent'], ARRAY[3])
            """)
        try await worker.report(
            WorkerLoad(
                seconds: 10, running: 2, kvUsedBytes: 300, kvBytes: 1000, residentBytes: 5, promptTokens: 1200,
                outputTokens: 70, prefillSeconds: 6, decodeSeconds: 2, steps: 40, sequenceSteps: 100))
        return worker
    }

    @Test func figuresAreThoseOfTheTables() async throws {
        try await withDashboard { site, client, queue in
            let worker = try await work(queue, client)
            let answer = try await site.call("GET", "/api/overview")
            #expect(answer.status == 200)
            let overview = try answer.json()
            #expect(overview["problems"] as? [String] == [])
            let summary = try #require(overview["summary"] as? [String: Any])
            for state in JobState.allCases {
                let counted: Int = try await client.query(
                    """
                    SELECT count(*) FROM deltakv.jobs j LEFT JOIN deltakv.queue q USING (job_id)
                    LEFT JOIN deltakv.outcomes o USING (job_id) WHERE coalesce(o.state, q.state)::text = $1
                    """, [state.rawValue]
                ).onlyRow().get(0)
                #expect(summary[state.rawValue] as? Int == counted, "\(state)")
            }
            #expect(summary["completed_last_hour"] as? Int == 3)
            #expect(summary["failed_last_hour"] as? Int == 1)
            #expect(summary["workers"] as? Int == 1)
            #expect(summary["prefill_tokens_per_second"] as? Double == 120)
            #expect(summary["decode_tokens_per_second"] as? Double == 7)
            #expect(summary["batch_size"] as? Double == 2.5)
            #expect(summary["kv_used_bytes"] as? Int == 300)
            #expect(summary["cached_tokens_last_day"] as? Int == 120)
            // 120 cached tokens at the price of the 180 that took 1.5 seconds.
            #expect(abs((summary["seconds_saved_last_day"] as? Double ?? 0) - 1) < 1e-9)
            let oldest = try #require(summary["oldest_seconds"] as? Double)
            #expect(oldest >= 0 && oldest < 60)
            let throughput = try #require(overview["throughput"] as? [[String: Any]])
            #expect(throughput.reduce(0) { $0 + ($1["prompt_tokens"] as? Int ?? 0) } == 300)
            let batches = try #require(overview["batches"] as? [[String: Any]])
            #expect(batches.count == 1 && batches[0]["batch"] as? String == "b" && batches[0]["total"] as? Int == 11)
            #expect((overview["workers"] as? [[String: Any]])?.first?["worker_id"] as? Int64 == worker.id)
            let errors = try #require(overview["errors"] as? [[String: Any]])
            #expect(errors.count == 1 && errors[0]["code"] as? String == "invalid_options")
            #expect((overview["running"] as? [Any])?.count == 2)
            #expect((overview["cache"] as? [[String: Any]])?.first?["seconds_saved"] as? Double == 2.5)
            #expect((overview["cache_misses"] as? [[String: Any]])?.first?["reason"] as? String == "absent")
            #expect((overview["slowest"] as? [Any])?.count == 3)
            #expect((overview["failures"] as? [Any])?.count == 1)
            #expect(!answer.body.contains("secret"), "no text of documents, outputs or errors")
        }
    }

    @Test func aJobsCourseIsItsEvents() async throws {
        try await withDashboard { site, client, queue in
            _ = try await work(queue, client)
            let failed: Int = try await client.query(
                "SELECT job_id FROM deltakv.outcomes WHERE state = 'failed'"
            ).onlyRow().get(0)
            let answer = try await site.call("GET", "/api/jobs/\(failed)")
            let timeline = try #require(try answer.json()["timeline"] as? [[String: Any]])
            #expect(timeline.map { $0["event"] as? String } == ["submitted", "claimed", "failed"])
            #expect(timeline.last?["code"] as? String == "invalid_options")
            #expect(!answer.body.contains("secret"))
            #expect(try await site.call("GET", "/api/jobs/999999").status == 404)
            #expect(try await site.call("GET", "/api/jobs/nonsense").status == 400)
        }
    }

    @Test func thePageComesWithAllItNeedsAndNothingElse() async throws {
        try await withDashboard { site, _, _ in
            let page = try await site.call("GET", "/")
            #expect(page.status == 200)
            #expect(page.headers["content-security-policy"]?.contains("default-src 'none'; script-src 'self'") == true)
            #expect(page.headers["x-content-type-options"] == "nosniff")
            for (name, type) in Assets.names {
                let file = try await site.call("GET", "/\(name)")
                #expect(file.status == 200 && file.headers["content-type"] == type)
                for imported in file.body.matches(of: /from "\/([a-z]+\.js)"/) {
                    #expect(Assets.names.contains { $0.0 == imported.1 })
                }
            }
            #expect(try await site.call("GET", "/../Package.swift").status == 404)
            #expect(try await site.call("GET", "/LICENSE-chart.js.txt").status == 404)
        }
    }

    @Test func withoutATokenNobodyActs() async throws {
        try await withDashboard { site, client, queue in
            _ = try await work(queue, client)
            #expect(try await site.call("POST", "/api/actions", json: #"{"verb":"cancel","batch":"b"}"#).status == 403)
            #expect(try await site.call("POST", "/api/session", json: #"{"token":""}"#).status == 403)
            let bearer = ["Authorization": "Bearer "]
            #expect(
                try await site.call("POST", "/api/actions", headers: bearer, json: #"{"verb":"cancel","batch":"b"}"#)
                    .status == 403)
            #expect(try await site.call("GET", "/api/session").json()["hasToken"] as? Bool == false)
            #expect(try await client.query("SELECT FROM deltakv.outcomes WHERE state = 'cancelled'").isEmpty)
        }
    }

    @Test func actionsNeedASessionAndItsCSRFToken() async throws {
        try await withDashboard(token: Self.token) { site, client, queue in
            _ = try await work(queue, client)
            #expect(try await site.call("POST", "/api/session", json: #"{"token":"wrong"}"#).status == 403)
            let signedIn = try await site.call("POST", "/api/session", json: #"{"token":"\#(Self.token)"}"#)
            #expect(signedIn.status == 200)
            let cookie = try #require(signedIn.headers["set-cookie"])
            #expect(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"))
            let session = String(cookie.prefix { $0 != ";" })
            let csrf = try #require(try signedIn.json()["csrf"] as? String)
            let pause = #"{"verb":"pause","batch":"b"}"#
            let refusals: [[String: String]] = [
                [:], ["Cookie": session], ["X-CSRF-Token": csrf], ["Cookie": session, "X-CSRF-Token": csrf + "0"],
                ["Cookie": session + "0", "X-CSRF-Token": csrf],
            ]
            for headers in refusals {
                #expect(
                    try await site.call("POST", "/api/actions", headers: headers, json: pause).status == 403,
                    "\(headers)")
            }
            let both = ["Cookie": session, "X-CSRF-Token": csrf]
            // A form elsewhere could send this without being asked, and is refused for that.
            let form = both.merging(["Content-Type": "text/plain"]) { _, new in new }
            #expect(try await site.call("POST", "/api/actions", headers: form, json: pause).status == 400)
            #expect(
                try await site.call("POST", "/api/actions", headers: both, json: #"{"verb":"drop","batch":"b"}"#).status
                    == 400)
            #expect(
                try await site.call("POST", "/api/actions", headers: both, json: #"{"verb":"cancel"}"#).status == 400)
            #expect(
                try await site.call("POST", "/api/actions", headers: both, json: #"{"verb":"pause","job":1}"#).status
                    == 400)
            #expect(try await client.query("SELECT FROM deltakv.batches WHERE paused_at IS NOT NULL").isEmpty)
            #expect(try await site.call("POST", "/api/actions", headers: both, json: pause).body == #"{"affected":5}"#)
            #expect(try await client.query("SELECT FROM deltakv.batches WHERE paused_at IS NOT NULL").count == 1)
            #expect(try await site.call("DELETE", "/api/session", headers: both).status == 204)
            #expect(try await site.call("POST", "/api/actions", headers: both, json: pause).status == 403)
        }
    }

    @Test func everyActionActs() async throws {
        try await withDashboard(token: Self.token) { site, client, queue in
            _ = try await work(queue, client)
            let headers = ["Authorization": "Bearer \(Self.token)"]
            func act(_ json: String) async throws -> String {
                try await site.call("POST", "/api/actions", headers: headers, json: json).body
            }
            func count(_ condition: String) async throws -> Int {
                try await client.query("SELECT count(*) FROM deltakv.results WHERE \(condition)").onlyRow().get(0)
            }
            let failed: Int = try await client.query("SELECT job_id FROM deltakv.outcomes WHERE state = 'failed'")
                .onlyRow().get(0)
            #expect(try await act(#"{"verb":"redrive","job":\#(failed)}"#) == #"{"affected":1}"#)
            #expect(try await count("state = 'failed'") == 0)
            #expect(try await act(#"{"verb":"pause","batch":"b"}"#) == #"{"affected":6}"#)
            #expect(try await count("state = 'available'") == 0)
            #expect(try await act(#"{"verb":"resume","batch":"b"}"#) == #"{"affected":6}"#)
            #expect(try await act(#"{"verb":"cancel","job":\#(failed)}"#) == #"{"affected":1}"#)
            #expect(try await act(#"{"verb":"cancel","batch":"b"}"#) == #"{"affected":7}"#)
            #expect(try await count("state = 'cancelled'") == 6)
            #expect(try await count("cancel_requested_at IS NOT NULL") == 2)
        }
    }

    @Test func awayFromLoopbackATokenIsNeededToLook() async throws {
        let access = Access(token: Self.token, isOpenForReading: false)
        #expect(access.hasToken)
        try await withTestDatabase { settings in
            let open = ListenAddress(host: "0.0.0.0", port: 0)
            #expect(throws: WebError.self) {
                try DashboardPages(database: settings, address: open, token: nil, logger: quietLogger)
            }
            #expect(throws: WebError.self) {
                try DashboardPages(database: settings, address: open, token: "short", logger: quietLogger)
            }
            let pages = try DashboardPages(database: settings, address: open, token: Self.token, logger: quietLogger)
            try await withServer(pages) { (site) async throws in
                #expect(try await site.call("GET", "/api/overview").status == 401)
                #expect(try await site.call("GET", "/api/jobs/1").status == 401)
                #expect(try await site.call("GET", "/api/session").json()["mayRead"] as? Bool == false)
                // The database is empty: who may look is told so.
                let bearer = ["Authorization": "Bearer \(Self.token)"]
                #expect(try await site.call("GET", "/api/overview", headers: bearer).status == 200)
            }
        }
    }

    /// The server itself refuses whatever the dashboard's reader should not do.
    @Test func theReaderMayReadViewsOnly() async throws {
        try await withDashboard { _, client, _ in
            for table in ["jobs", "outcomes", "documents", "job_errors"] {
                let readable: Bool = try await client.query(
                    "SELECT has_table_privilege('deltakv_reader', 'deltakv.\(table)', 'SELECT')"
                ).onlyRow().get(0)
                #expect(!readable, "\(table)")
            }
            let hidden = ["document", "variables", "options", "output", "error_message", "error_detail", "messages"]
            let columns = try await client.query(
                """
                SELECT a.attrelid::regclass::text || '.' || a.attname FROM pg_attribute a
                JOIN pg_class c ON c.oid = a.attrelid
                WHERE c.relnamespace = 'deltakv'::regnamespace AND c.relkind = 'v' AND a.attname = ANY ($1)
                    AND has_table_privilege('deltakv_reader', c.oid, 'SELECT')
                """, [hidden])
            #expect(try columns.map { try $0.get(0, as: String.self) } == [])
        }
    }
}
