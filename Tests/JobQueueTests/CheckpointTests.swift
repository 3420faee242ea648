// SPDX-License-Identifier: Apache-2.0
import JobQueue
import Testing

/// How far outputs have come, from one attempt to the next.
@Suite(.serialized) struct CheckpointTests {
    private func count(_ fixture: QueueFixture) async throws -> Int {
        try await fixture.integer("SELECT count(*) FROM deltakv.checkpoints")
    }

    @Test func theNextAttemptGetsWhatTheLastOneLeft() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker(), other = try await fixture.worker()
            let first = try await fixture.claimOne(worker)
            #expect(first.checkpoint == nil)
            try await worker.save([JobCheckpoint(lease: first.lease, saved: .sample([5, 0]))])
            let longer = SavedOutput.sample([5, 0, 49_151, 7])
            try await worker.save([JobCheckpoint(lease: first.lease, saved: longer)])
            try await fixture.expireLease(of: first.lease.jobID)
            try await fixture.queue.rescue()
            let second = try #require(try await other.claim(1, lease: .seconds(60)).first)
            #expect(second.lease.jobID == first.lease.jobID && second.checkpoint == longer)
            // Who has lost the job changes nothing.
            try await worker.save([JobCheckpoint(lease: first.lease, saved: .sample([1]))])
            _ = try await other.fail([JobFailure(second.lease, retryable: true)])
            try await fixture.makeDue(first.lease.jobID)
            let third = try #require(try await other.claim(1, lease: .seconds(60)).first)
            #expect(third.checkpoint == longer)
            _ = try await other.release([third.lease])
            let fourth = try #require(try await other.claim(1, lease: .seconds(60)).first)
            #expect(fourth.checkpoint == longer)
            _ = try await other.complete([JobResult(fourth.lease)])
            #expect(try await count(fixture) == 0)
        }
    }

    @Test func nothingIsLeftOfJobsThatHaveEnded() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            try await fixture.submit(4)
            let jobs = try await worker.claim(4, lease: .seconds(60))
            try await worker.save(jobs.map { JobCheckpoint(lease: $0.lease, saved: .sample([1, 2, 3])) })
            try await worker.save([])
            #expect(try await count(fixture) == 4)
            _ = try await worker.complete([JobResult(jobs[0].lease)])
            _ = try await worker.fail([JobFailure(jobs[1].lease, retryable: false)])
            try await fixture.queue.cancel(.job(jobs[2].lease.jobID))
            _ = try await worker.release([jobs[2].lease])
            #expect(try await count(fixture) == 1)
            #expect(
                try await fixture.integer(
                    "SELECT count(*) FROM deltakv.checkpoints WHERE job_id = $1",
                    [
                        jobs[3].lease.jobID
                    ]) == 1)
            // Given all attempts again, a job begins anew.
            try await fixture.queue.redrive(.job(jobs[1].lease.jobID))
            #expect(try await worker.claim(1, lease: .seconds(60)).first?.checkpoint == nil)
        }
    }
}

extension SavedOutput {
    /// Some tokens under a fingerprint that the queue does not look into.
    static func sample(_ output: [Int32]) -> SavedOutput {
        SavedOutput(fingerprint: String(repeating: "0a", count: 32), output: output)
    }
}
