// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import PostgreSQL
import Testing

@Suite(.serialized) struct LeaseTests {
    @Test func aStaleWorkerChangesNothingAndIsTold() async throws {
        try await withQueue { fixture in
            let slow = try await fixture.worker()
            let quick = try await fixture.worker()
            let stale = try await fixture.claimOne(slow).lease
            try await fixture.expireLease(of: stale.jobID)
            #expect(try await fixture.queue.rescue() == [Settlement(jobID: stale.jobID, state: .available)])
            let fresh = try #require(try await quick.claim(1, lease: .seconds(60)).first)
            #expect(fresh.lease.token > stale.token)
            #expect(fresh.attempt == 1)

            let before = try await snapshot(fixture)
            let refused = [Settlement(jobID: stale.jobID, state: nil)]
            #expect(try await slow.complete([JobResult(stale, output: "stale")]) == refused)
            #expect(try await slow.fail([JobFailure(stale, retryable: true)]) == refused)
            #expect(try await slow.fail([JobFailure(stale, retryable: false)]) == refused)
            #expect(try await slow.release([stale]) == refused)
            let progress = JobProgress(lease: stale, promptTokens: 99, outputTokens: 99)
            #expect(
                try await slow.heartbeat([progress], lease: .seconds(600))
                    == [HeartbeatSignal(jobID: stale.jobID, reason: .lost)])
            #expect(try await snapshot(fixture) == before)

            let done = try await quick.complete([JobResult(fresh.lease, output: "fresh")])
            #expect(done == [Settlement(jobID: stale.jobID, state: .completed)])
            #expect(try await slow.complete([JobResult(stale, output: "stale")]) == refused)
            #expect(try await fixture.queue.job(stale.jobID)?.output == "fresh")
            let fenced = "SELECT fenced_writes FROM deltakv.workers WHERE worker_id = $1"
            #expect(try await fixture.integer(fenced, [slow.id]) == 5)
            #expect(try await fixture.integer(fenced, [quick.id]) == 0)
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.job_events WHERE event = 'fenced'") == 5)
        }
    }

    @Test func aResultSentTwiceIsStoredOnceAndAcknowledgedTwice() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            let lease = try await fixture.claimOne(worker).lease
            let done = [Settlement(jobID: lease.jobID, state: .completed)]
            #expect(try await worker.complete([JobResult(lease, output: "one")]) == done)
            #expect(try await worker.complete([JobResult(lease, output: "two")]) == done)
            #expect(try await fixture.queue.job(lease.jobID)?.output == "one")
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func oneLostJobDoesNotSpoilTheOthers() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            try await fixture.submit(3)
            let leases = try await worker.claim(3, lease: .seconds(60)).map(\.lease)
            let wrong = Lease(jobID: leases[1].jobID, token: leases[1].token - 1)
            let settled = try await worker.complete([leases[0], wrong, leases[2]].map { JobResult($0) })
            #expect(
                Dictionary(uniqueKeysWithValues: settled.map { ($0.jobID, $0.state) }) == [
                    leases[0].jobID: .completed, leases[1].jobID: nil, leases[2].jobID: .completed,
                ])
            #expect(try await fixture.state(of: leases[1].jobID) == .running)
            let missing = try await worker.release([Lease(jobID: 4711, token: 1)])
            #expect(missing == [Settlement(jobID: 4711, state: nil)])
        }
    }

    @Test func heartbeatsKeepALeaseAndShowProgress() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            let lease = try await fixture.claimOne(worker).lease
            try await fixture.expireLease(of: lease.jobID)
            let progress = JobProgress(lease: lease, promptTokens: 512, outputTokens: 3)
            #expect(try await worker.heartbeat([progress], lease: .seconds(60)).isEmpty)
            #expect(try await fixture.queue.rescue().isEmpty)
            let job = try #require(try await fixture.queue.job(lease.jobID)?.summary)
            #expect(job.promptTokens == 512)
            #expect(job.outputTokens == 3)
            #expect(job.workerID == worker.id)
            #expect(try await worker.heartbeat([], lease: .seconds(60)).isEmpty)
        }
    }

    @Test func interruptionsAreNotChargedButCounted() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            let id = try await fixture.submit(1, maxAttempts: 1)[0]
            for interruption in 1...3 {
                let job = try #require(try await worker.claim(1, lease: .seconds(60)).first)
                #expect(job.attempt == 1)
                try await fixture.expireLease(of: id)
                let state: JobState = interruption < 3 ? .available : .failed
                #expect(try await fixture.queue.rescue() == [Settlement(jobID: id, state: state)])
            }
            let job = try #require(try await fixture.queue.job(id))
            #expect(job.summary.error?.code == "poison_job")
            #expect(job.summary.attempts == 0)
            #expect(job.events.map(\.name).filter { $0 == "rescued" }.count == 2)
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func handingBackIsNeverCharged() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            let id = try await fixture.submit(1, maxAttempts: 1)[0]
            for _ in 0..<8 {
                let job = try #require(try await worker.claim(1, lease: .seconds(60)).first)
                #expect(job.attempt == 1)
                #expect(try await worker.release([job.lease]) == [Settlement(jobID: id, state: .available)])
            }
        }
    }

    @Test func anAttemptPastItsDeadlineIsCharged() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            let lease = try await fixture.claimOne(worker, maxAttempts: 2).lease
            try await fixture.passDeadline(of: lease.jobID)
            let progress = JobProgress(lease: lease, promptTokens: 1, outputTokens: 0)
            #expect(
                try await worker.heartbeat([progress], lease: .seconds(60))
                    == [HeartbeatSignal(jobID: lease.jobID, reason: .timeout)])
            #expect(try await fixture.queue.rescue() == [Settlement(jobID: lease.jobID, state: .retryable)])
            try await fixture.makeDue(lease.jobID)
            let again = try #require(try await worker.claim(1, lease: .seconds(60)).first)
            #expect(again.attempt == 2)
            try await fixture.passDeadline(of: lease.jobID)
            #expect(try await fixture.queue.rescue() == [Settlement(jobID: lease.jobID, state: .failed)])
            let job = try #require(try await fixture.queue.job(lease.jobID))
            #expect(job.errors.map(\.error.code) == ["attempt_timeout", "attempt_timeout"])
            #expect(job.errors.map(\.attempt) == [1, 2])
        }
    }

    @Test func manyRescuersFindAJobOnce() async throws {
        try await withQueue(connections: 8) { fixture in
            let worker = try await fixture.worker()
            try await fixture.submit(200)
            _ = try await worker.claim(200, lease: .milliseconds(-1000))
            let rescued = try await withThrowingTaskGroup(of: [Settlement].self) { group in
                for _ in 0..<8 { group.addTask { try await fixture.queue.rescue() } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(rescued.count == 200)
            #expect(Set(rescued.map(\.jobID)).count == 200)
        }
    }

    private func snapshot(_ fixture: QueueFixture) async throws -> String {
        try await fixture.client.query(
            "SELECT (SELECT jsonb_agg(q) FROM deltakv.queue q)::text || (SELECT count(*) FROM deltakv.outcomes)"
        ).onlyRow().get(0)
    }
}
