// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import PostgreSQL
import Testing

@Suite(.serialized) struct RetryTests {
    @Test func errorsThatMayPassAreRetriedUntilAttemptsAreUsedUp() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            let id = try await fixture.submit(1, maxAttempts: 4)[0]
            for attempt in 1...4 {
                let job = try #require(try await worker.claim(1, lease: .seconds(60)).first)
                #expect(job.attempt == attempt)
                let settled = try await worker.fail([JobFailure(job.lease, retryable: true)])
                #expect(settled == [Settlement(jobID: id, state: attempt < 4 ? .retryable : .failed)])
                guard attempt < 4 else { break }
                let wait = try await fixture.client.query(
                    "SELECT extract(epoch FROM run_at - retryable_at)::float8 FROM deltakv.queue WHERE job_id = $1",
                    [id]
                ).onlyRow().get(0, as: Double.self)
                let expected = 5 * Double(1 << (attempt - 1))
                #expect((expected * 0.75...expected * 1.25).contains(wait))
                #expect(try await worker.claim(1, lease: .seconds(60)).isEmpty)
                try await fixture.makeDue(id)
            }
            let job = try #require(try await fixture.queue.job(id))
            #expect(job.summary.error == JobError(code: "test", message: "it went wrong", detail: #"{"limit": 3}"#))
            #expect(job.errors.map(\.attempt) == [1, 2, 3, 4])
            #expect(job.summary.attempts == 4)
            #expect(
                job.events.map(\.name) == [
                    "claimed", "retried", "claimed", "retried", "claimed", "retried", "claimed", "failed",
                ])
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func delaysGrowToAnHourWithJitter() async throws {
        try await withQueue { fixture in
            let rows = try await fixture.client.query(
                """
                SELECT a, min(d)::float8 AS low, max(d)::float8 AS high
                FROM (SELECT a, extract(epoch FROM deltakv.retry_delay(a)) AS d
                    FROM generate_series(1, 100) a, generate_series(1, 200)) x
                GROUP BY a
                """)
            for row in rows {
                let attempt: Int = try row.get("a")
                let expected = min(3600, 5 * pow(2, Double(attempt - 1)))
                let (low, high): (Double, Double) = (try row.get("low"), try row.get("high"))
                #expect(low >= expected * 0.749 && high <= expected * 1.251)
                #expect(high > low)
            }
        }
    }

    @Test func permanentErrorsEndAJobAtOnce() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            let lease = try await fixture.claimOne(worker).lease
            let failed = [Settlement(jobID: lease.jobID, state: .failed)]
            #expect(try await worker.fail([JobFailure(lease, retryable: false)]) == failed)
            let row = try await fixture.client.query("SELECT error, output FROM deltakv.results").onlyRow()
            #expect(try row.get("error", as: String.self) == "test: it went wrong")
            #expect(try row.get("output", as: String?.self) == nil)
        }
    }

    @Test func oddTextsAreStored() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            try await fixture.submit(2)
            let leases = try await worker.claim(2, lease: .seconds(60)).map(\.lease)
            let text = "a\u{0}b {\"x\"} \\ 'q' NULL 😀"
            #expect(try await worker.complete([JobResult(leases[0], output: text)]).first?.state == .completed)
            #expect(
                try await fixture.queue.job(leases[0].jobID)?.output == "a\u{FFFD}b {\"x\"} \\ 'q' NULL 😀")
            let failure = JobFailure(lease: leases[1], error: JobError(code: "c", message: text), isRetryable: false)
            #expect(try await worker.fail([failure]).first?.state == .failed)
            #expect(try await fixture.queue.job(leases[1].jobID)?.summary.error?.detail == nil)
        }
    }

    @Test func failedJobsCanBeRedriven() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            try await fixture.submit(4, maxAttempts: 1)
            let leases = try await worker.claim(3, lease: .seconds(60)).map(\.lease)
            _ = try await worker.fail(leases.prefix(2).map { JobFailure($0, retryable: true) })
            _ = try await worker.complete([JobResult(leases[2])])
            #expect(try await fixture.queue.redrive(.job(leases[2].jobID)) == 0)
            #expect(try await fixture.queue.redrive(.job(leases[0].jobID)) == 1)
            #expect(try await fixture.queue.redrive(.batch("b", tenant: "nobody")) == 0)
            #expect(try await fixture.queue.redrive(.batch("b")) == 1)
            #expect(try await fixture.queue.redrive(.batch("b")) == 0)
            #expect(try await fixture.inconsistencies() == 0)
            let again = try await worker.claim(9, lease: .seconds(60))
            #expect(again.map(\.attempt) == [1, 1, 1])
            #expect(try await worker.complete(again.map { JobResult($0.lease) }).allSatisfy { $0.state == .completed })
            let job = try #require(try await fixture.queue.job(leases[0].jobID))
            #expect(job.errors.count == 1)
            #expect(job.summary.error == nil)
            let progress = try #require(try await fixture.queue.progress(batch: "b").first)
            #expect(progress.counts[.completed] == 4)
            #expect(progress.counts[.failed] == 0)
            #expect(progress.finished == progress.total)
            #expect(progress.promptTokens == 40)
            #expect(progress.cachedTokens == 16)
            #expect(try await fixture.inconsistencies() == 0)
        }
    }
}
