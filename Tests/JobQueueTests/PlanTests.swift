// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import PostgreSQL
import Testing

/// Jobs that depend on others, documents of any length, batches as a whole, tenants side by side.
@Suite(.serialized) struct PlanTests {
    /// Runs everything that may run, a few jobs at a time; an output is the job's document in brackets, cut short.
    private func runAll(_ fixture: QueueFixture, _ worker: JobWorker, atMost rounds: Int = .max) async throws -> Int {
        var done = 0
        var round = 0
        while round < rounds {
            let jobs = try await worker.claim(4, lease: .seconds(60))
            if jobs.isEmpty { break }
            let results = jobs.map { JobResult($0.lease, output: "[\(($0.document ?? "").prefix(40))]") }
            done += try await worker.complete(results).count
            round += 1
        }
        return done
    }

    @Test func aLongDocumentIsSummarisedInLevelsAndResumed() async throws {
        try await withQueue { fixture in
            // About 200,000 tokens of four bytes.
            let id = try await fixture.integer(
                """
                SELECT deltakv.summarize(string_agg(n || repeat(' word', 100), E'\n\n' ORDER BY n), custom_id => 'long')
                FROM generate_series(1, 1600) n
                """)
            let parts = try await fixture.integer("SELECT count(*) FROM deltakv.jobs WHERE template = 'summarize-part'")
            #expect(parts > 60 && parts < 90)
            #expect(try await fixture.integer("SELECT max(octet_length(document)) FROM deltakv.jobs") <= 12000)
            let first = try await fixture.worker()
            let done = try await runAll(fixture, first, atMost: 5)
            #expect(done == 20)
            // The worker dies with jobs in hand; what it had finished stays.
            let lost = try await first.claim(3, lease: .seconds(60))
            for job in lost { try await fixture.expireLease(of: job.lease.jobID) }
            try await fixture.queue.rescue()
            _ = try await runAll(fixture, try await fixture.worker())
            let row = try await fixture.client.query(
                "SELECT job_id, state, output FROM deltakv.results WHERE custom_id = 'long'"
            ).onlyRow()
            #expect(try row.get("job_id", as: Int.self) == id)
            #expect(try row.get("state", as: String.self) == "completed")
            #expect(try row.get("output", as: String.self).hasPrefix("[[[[1 word"))
            // Every part ran once, and no job was given more than fan_in summaries.
            #expect(try await fixture.integer("SELECT max(attempts) FROM deltakv.outcomes") == 1)
            #expect(
                try await fixture.integer(
                    "SELECT max(n) FROM (SELECT count(*) AS n FROM deltakv.dependencies GROUP BY job_id) d")
                    == 8)
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func cutsCoverTheDocumentAndOverlapAtParagraphs() async throws {
        try await withQueue { fixture in
            let rows = try await fixture.client.query(
                """
                SELECT chunk FROM deltakv.cut_document(
                    (SELECT string_agg('p' || n || ' ' || repeat('ä', n % 90), E'\n\n' ORDER BY n) FROM generate_series(1, 300) n)
                        || E'\n\n' || repeat('x', 5000), 1000, 125) chunk
                """)
            let chunks = try rows.map { try $0.get("chunk", as: String.self) }
            #expect(chunks.allSatisfy { $0.utf8.count <= 1000 })
            for number in 1...300 { #expect(chunks.contains { $0.contains("p\(number) ") }) }
            #expect(chunks.reduce(0) { $0 + $1.count { $0 == "x" } } == 5000)
            for (one, next) in zip(chunks, chunks.dropFirst()) where !next.contains("x") {
                let last = try #require(one.components(separatedBy: "\n\n").last)
                if last.utf8.count <= 123 { #expect(next.hasPrefix(last)) }
            }
        }
    }

    @Test func jobsWaitForOthersAndFailWithThem() async throws {
        try await withQueue { fixture in
            let first = try await fixture.integer("SELECT deltakv.submit('t', document => 'a')")
            let second = try await fixture.integer(
                "SELECT deltakv.submit('t', depends_on => ARRAY[$1::bigint])", [first])
            let third = try await fixture.integer(
                "SELECT deltakv.submit('t', depends_on => ARRAY[$1::bigint])", [second])
            let worker = try await fixture.worker()
            let jobs = try await worker.claim(9, lease: .seconds(60))
            #expect(jobs.map(\.lease.jobID) == [Int64(first)])
            _ = try await worker.fail([JobFailure(jobs[0].lease, retryable: false)])
            #expect(try await worker.claim(9, lease: .seconds(60)).isEmpty)
            #expect(try await worker.claim(9, lease: .seconds(60)).isEmpty)
            for id in [second, third] {
                #expect(try await fixture.queue.job(Int64(id))?.summary.error?.code == "dependency_failed")
            }
            #expect(try await fixture.queue.redrive(.batch("default")) == 3)
            #expect(try await runAll(fixture, worker) == 3)
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func keysGiveTheSameJob() async throws {
        try await withQueue { fixture in
            func submit(_ key: String) async throws -> Int {
                try await fixture.integer("SELECT deltakv.submit('t', \(key) => 'k')")
            }
            let idempotent = try await submit("idempotency_key")
            let unique = try await submit("unique_key")
            #expect(try await submit("idempotency_key") == idempotent)
            #expect(try await submit("unique_key") == unique)
            #expect(try await runAll(fixture, try await fixture.worker()) == 2)
            #expect(try await submit("idempotency_key") == idempotent)
            #expect(try await submit("unique_key") != unique)
        }
    }

    /// What one tenant asks for after a batch must not stop what is done for all.
    @Test func aFollowUpThatCannotBeSubmittedStopsNothing() async throws {
        try await withQueue { fixture in
            try await fixture.submit(1, batch: "a")
            try await fixture.submit(1, batch: "b")
            try await fixture.client.query("SELECT deltakv.on_finish('a', NULL)")
            try await fixture.client.query("SELECT deltakv.on_finish('b', 'report', document => 'done')")
            let worker = try await fixture.worker()
            #expect(try await runAll(fixture, worker) == 2)
            try await fixture.queue.tidy()
            try await fixture.queue.tidy()
            let follow = try #require(try await worker.claim(9, lease: .seconds(60)).first)
            #expect(follow.batch == "b follow-up" && follow.document == "done")
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.follow_ups") == 0)
        }
    }

    @Test func batchesPauseResumeChangePriorityAndFollowUp() async throws {
        try await withQueue { fixture in
            try await fixture.submit(3, batch: "a")
            let late = try await fixture.submit(1, batch: "b")
            try await fixture.client.query("SELECT deltakv.on_finish('a', 'report', document => 'all done')")
            #expect(try await fixture.integer("SELECT deltakv.pause('a')") == 3)
            try await fixture.submit(1, batch: "a")
            let worker = try await fixture.worker()
            #expect(try await worker.claim(9, lease: .seconds(60)).map(\.lease.jobID) == late)
            #expect(try await fixture.integer("SELECT deltakv.resume('a')") == 4)
            #expect(try await fixture.integer("SELECT deltakv.reprioritise('a', 7)") == 4)
            #expect(try await fixture.integer("SELECT deltakv.clone('a', 'c', '{\"seed\": 1}')") == 4)
            #expect(try await fixture.integer("SELECT jobs FROM deltakv.estimate('c')") == 4)
            #expect(try await runAll(fixture, worker) == 8)
            try await fixture.queue.tidy()
            try await fixture.queue.tidy()
            let follow = try #require(try await worker.claim(9, lease: .seconds(60)).first)
            #expect(follow.batch == "a follow-up" && follow.document == "all done")
            #expect(try await worker.claim(9, lease: .seconds(60)).isEmpty)
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func tenantsShareWorkersByWeightAndCap() async throws {
        try await withQueue { fixture in
            for (tenant, count) in [("ann", 40), ("bob", 40), ("cid", 40)] {
                try await fixture.client.query(
                    "SELECT count(deltakv.submit('t', tenant => $1)) FROM generate_series(1, $2::int)", [tenant, count])
            }
            try await fixture.client.script(
                """
                UPDATE deltakv.tenants SET weight = 2 WHERE tenant = 'bob';
                UPDATE deltakv.tenants SET max_running = 3 WHERE tenant = 'cid'
                """)
            let worker = try await fixture.worker()
            var jobs: [ClaimedJob] = []
            for _ in 0..<6 { jobs += try await worker.claim(4, holding: jobs.count, lease: .seconds(60)) }
            let counts = Dictionary(grouping: jobs, by: \.tenant).mapValues(\.count)
            #expect(counts == ["ann": 7, "bob": 14, "cid": 3])
        }
    }

    @Test func deadlinesEndWaitingJobs() async throws {
        try await withQueue { fixture in
            let id = try await fixture.integer("SELECT deltakv.submit('t', deadline => now() - interval '1 second')")
            #expect(try await fixture.worker().claim(1, lease: .seconds(60)).isEmpty)
            try await fixture.queue.rescue()
            #expect(try await fixture.queue.job(Int64(id))?.summary.error?.code == "deadline_passed")
        }
    }

    @Test func earlierTemplateVersionsStayForTheirJobs() async throws {
        try await withQueue { fixture in
            #expect(try await fixture.queue.syncTemplate(named: "t", yaml: "one") == 1)
            try await fixture.submit(0)
            try await fixture.client.query("SELECT deltakv.submit('t')")
            #expect(try await fixture.queue.syncTemplate(named: "t", yaml: "one") == 1)
            #expect(try await fixture.queue.syncTemplate(named: "t", yaml: "two") == 2)
            try await fixture.client.query("SELECT deltakv.submit('t')")
            try await fixture.client.query("SELECT deltakv.submit('t', version => 1)")
            let jobs = try await fixture.worker().claim(9, lease: .seconds(60))
            #expect(jobs.map(\.templateSource) == ["one", "two", "one"])
        }
    }
}
