// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import PostgreSQL
import Testing

@Suite(.serialized) struct ClaimTests {
    @Test func largerPrioritiesAndOlderJobsGoFirst() async throws {
        try await withQueue { fixture in
            let normal = try await fixture.submit(3)
            let urgent = try await fixture.submit(2, priority: 5)
            let idle = try await fixture.submit(1, priority: -5)
            let worker = try await fixture.worker()
            let first = try await worker.claim(4, lease: .seconds(60))
            #expect(first.map(\.lease.jobID) == urgent + normal.prefix(2))
            let second = try await worker.claim(10, lease: .seconds(60))
            #expect(second.map(\.lease.jobID) == normal.suffix(1) + idle)
            #expect(try await worker.claim(10, lease: .seconds(60)).isEmpty)
            let tokens = (first + second).map(\.lease.token)
            #expect(Set(tokens).count == 6)
            #expect(try #require(second.map(\.lease.token).min()) > (try #require(first.map(\.lease.token).max())))
        }
    }

    @Test func claimsCarryTheJob() async throws {
        try await withQueue { fixture in
            try await fixture.queue.submit([
                JobSubmission(
                    template: "ask", document: "Ein Text", customID: "k", batch: "b", options: #"{"seed": 7}"#,
                    variables: #"{"question": "Wer?"}"#, maxAttempts: 2)
            ])
            let job = try #require(
                try await fixture.worker().claim(1, lease: .seconds(60), attemptTimeout: .seconds(600)).first)
            #expect(job.template == "ask")
            #expect(job.document == "Ein Text")
            #expect(job.customID == "k")
            #expect(job.batch == "b")
            #expect(job.options == #"{"seed": 7}"#)
            #expect(job.variables == #"{"question": "Wer?"}"#)
            #expect(job.attempt == 1)
            #expect(job.maxAttempts == 2)
            #expect(try #require(job.attemptDeadline) > job.submittedAt)
        }
    }

    @Test func inputBytesBoundAClaim() async throws {
        try await withQueue { fixture in
            let sizes = [1000, 1000, 5000, 10]
            let ids = try await fixture.queue.submit(
                sizes.map { JobSubmission(template: "t", document: String(repeating: "x", count: $0)) })
            let worker = try await fixture.worker()
            func claim(_ bytes: Int) async throws -> [Int64] {
                try await worker.claim(9, lease: .seconds(60), inputBytes: bytes).map(\.lease.jobID)
            }
            #expect(try await claim(2500) == [ids[0], ids[1]])
            #expect(try await claim(2500) == [ids[2]])
            #expect(try await claim(0) == [ids[3]])
            #expect(try await claim(9999) == [])
        }
    }

    @Test func waitingJobsStartWhenTheirTimeComes() async throws {
        try await withQueue { fixture in
            let id = try await fixture.submit(1, runAt: Date(timeIntervalSinceNow: 3600))[0]
            let worker = try await fixture.worker()
            #expect(try await fixture.state(of: id) == .scheduled)
            #expect(try await worker.claim(1, lease: .seconds(60)).isEmpty)
            let unfinished = try await fixture.queue.unfinished()
            #expect(unfinished.scheduled == 1)
            #expect(try #require(unfinished.nextRunAt) > Date(timeIntervalSinceNow: 3000))
            try await fixture.makeDue(id)
            let job = try #require(try await worker.claim(1, lease: .seconds(60)).first)
            #expect(job.lease.jobID == id)
            #expect(job.attempt == 1)
        }
    }

    @Test func unknownWorkersGetNothing() async throws {
        try await withQueue { fixture in
            try await fixture.submit(1)
            let error = await #expect(throws: PostgresError.self) {
                try await fixture.client.query("SELECT * FROM deltakv.claim(99, 1, '1 minute')")
            }
            #expect(error?.sqlState == "23503")
            #expect(try await fixture.queue.unfinished().available == 1)
        }
    }

    @Test(arguments: [2, 20])
    func concurrentWorkersNeverShareAJob(workers: Int) async throws {
        try await withQueue(connections: workers) { fixture in
            let count = 2000
            try await fixture.submit(count)
            let claimed = try await withThrowingTaskGroup(of: [Int64].self) { group in
                for number in 0..<workers {
                    group.addTask {
                        let worker = try await fixture.worker()
                        var mine: [Int64] = []
                        while true {
                            let jobs = try await worker.claim(1 + (number + mine.count) % 17, lease: .seconds(600))
                            if jobs.isEmpty { return mine }
                            let settled = try await worker.complete(jobs.map { JobResult($0.lease) })
                            #expect(settled.allSatisfy { $0.state == .completed })
                            mine += jobs.map(\.lease.jobID)
                        }
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            // A claim passes over rows that another holds for a moment, so a few may be left when a worker sees none.
            let rest = try await fixture.worker().claim(count, lease: .seconds(600)).map(\.lease.jobID)
            #expect(claimed.count + rest.count == count)
            #expect(Set(claimed + rest).count == count)
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func nothingReadsWholeTables() async throws {
        try await withQueue(connections: 1) { fixture in
            try await fixture.client.script(
                """
                INSERT INTO deltakv.batches (tenant, name) VALUES ('t', 'old');
                INSERT INTO deltakv.jobs (batch_id, tenant, template, options, variables, priority, run_at, max_attempts)
                SELECT 1, 't', 'summarize', '{}', '{}', 0, now(), 3 FROM generate_series(1, 200000);
                INSERT INTO deltakv.outcomes (job_id, batch_id, state, attempts, cancelled_at)
                SELECT job_id, 1, 'cancelled', 0, now() FROM deltakv.jobs
                """)
            // Plans are cached while the queue is empty and must still be good when it is not.
            let worker = try await fixture.worker()
            for _ in 0..<10 { _ = try await worker.claim(5, lease: .seconds(60)) }
            try await fixture.submit(5000)
            let before = try await scans(fixture)
            for round in 0..<10 {
                let jobs = try await worker.claim(20, lease: .seconds(60), attemptTimeout: .seconds(60))
                let progress = jobs.map { JobProgress(lease: $0.lease, promptTokens: 1, outputTokens: 0) }
                #expect(try await worker.heartbeat(progress, lease: .seconds(60)).isEmpty)
                let leases = jobs.map(\.lease)
                #expect(try await worker.complete(leases.prefix(10).map { JobResult($0) }).count == 10)
                #expect(try await worker.fail([JobFailure(leases[10], retryable: round % 2 == 0)]).count == 1)
                #expect(try await worker.release(Array(leases.suffix(9))).count == 9)
                try await fixture.queue.rescue()
            }
            #expect(try await scans(fixture) == before)
        }
    }

    /// How often the big tables were read from end to end.
    private func scans(_ fixture: QueueFixture) async throws -> Int {
        // Sent apart from the reading: the counts go out when the transaction has ended.
        try await fixture.client.query("SELECT pg_stat_force_next_flush()")
        return try await fixture.integer(
            """
            SELECT sum(seq_scan)::bigint FROM pg_stat_user_tables
            WHERE schemaname = 'deltakv' AND relname IN ('jobs', 'queue', 'outcomes', 'job_events', 'job_errors')
            """)
    }
}
