// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import Testing

@Suite(.serialized) struct ListingTests {
    @Test func jobsAreListedByPage() async throws {
        try await withQueue { fixture in
            let ids = try await fixture.submit(5, batch: "one")
            try await fixture.submit(2, batch: "two")
            let newest = try await fixture.queue.jobs(batch: "one", limit: 3)
            #expect(newest.map(\.id) == ids.suffix(3).reversed())
            let rest = try await fixture.queue.jobs(batch: "one", before: newest.last?.id)
            #expect(rest.map(\.id) == ids.prefix(2).reversed())
            try await fixture.queue.cancel(.job(ids[1]))
            #expect(try await fixture.queue.jobs(state: .cancelled).map(\.id) == [ids[1]])
            #expect(try await fixture.queue.jobs().count == 7)
            #expect(try await fixture.queue.jobs(batch: "none").isEmpty)
        }
    }

    @Test func aJobShowsEverything() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            let first = try await fixture.claimOne(worker).lease
            _ = try await worker.fail([JobFailure(first, retryable: true)])
            try await fixture.makeDue(first.jobID)
            let second = try #require(try await worker.claim(1, lease: .seconds(60)).first).lease
            var result = JobResult(second, output: "a summary")
            result.usage.secondsSaved = 1.5
            result.usage.cacheMiss = "absent"
            result.usage.resumedTokens = 1
            _ = try await worker.complete([result])
            let job = try #require(try await fixture.queue.job(first.jobID))
            #expect(job.document == "document 0")
            #expect(job.output == "a summary")
            #expect(job.summary.state == .completed)
            #expect(job.summary.attempts == 2)
            #expect(job.summary.finishReason == "stop")
            #expect(job.summary.promptTokens == 10)
            #expect(job.summary.cachedTokens == 4)
            #expect(job.summary.decodeSeconds == 0.25)
            #expect(job.summary.secondsSaved == 1.5 && job.summary.cacheMiss == "absent")
            #expect(job.summary.resumedTokens == 1)
            #expect(job.summary.workerID == worker.id)
            #expect(try #require(job.summary.finishedAt) >= (try #require(job.summary.startedAt)))
            #expect(job.errors.map(\.error.message) == ["it went wrong"])
            #expect(job.events.map(\.name) == ["claimed", "retried", "claimed", "completed"])
            #expect(try await fixture.queue.job(4711) == nil)
        }
    }

    @Test func progressHasRateAndExpectedEnd() async throws {
        try await withQueue { fixture in
            try await fixture.submit(10)
            let before = try #require(try await fixture.queue.progress(batch: "b").first)
            #expect(before.total == 10)
            #expect(before.counts[.available] == 10)
            #expect(before.jobsPerSecond == nil && before.expectedEnd == nil)
            let worker = try await fixture.worker()
            for _ in 0..<4 {
                let leases = try await worker.claim(1, lease: .seconds(60)).map(\.lease)
                _ = try await worker.complete(leases.map { JobResult($0) })
            }
            let during = try #require(try await fixture.queue.progress(batch: "b").first)
            #expect(during.counts[.completed] == 4)
            #expect(during.finished == 4)
            #expect(during.outputTokens == 8)
            #expect(try #require(during.jobsPerSecond) > 0)
            #expect(try #require(during.expectedEnd) > during.createdAt)
            try await fixture.queue.cancel(.batch("b"))
            let after = try #require(try await fixture.queue.progress(batch: "b").first)
            #expect(after.finished == 10)
            #expect(after.expectedEnd == nil)
            #expect(try await fixture.queue.unfinished().total == 0)
        }
    }
}
