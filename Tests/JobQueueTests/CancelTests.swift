// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import PostgreSQL
import Testing

@Suite(.serialized) struct CancelTests {
    @Test(arguments: [JobState.scheduled, .available, .retryable])
    func waitingJobsEndAtOnce(state: JobState) async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            let runAt = state == .scheduled ? Date(timeIntervalSinceNow: 60) : nil
            let id = try await fixture.submit(1, runAt: runAt)[0]
            if state == .retryable {
                let job = try #require(try await worker.claim(1, lease: .seconds(60)).first)
                _ = try await worker.fail([JobFailure(job.lease, retryable: true)])
            }
            #expect(try await fixture.state(of: id) == state)
            #expect(try await fixture.queue.cancel(.job(id)) == 1)
            #expect(try await fixture.state(of: id) == .cancelled)
            #expect(try await fixture.queue.cancel(.job(id)) == 0)
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func finishedJobsStayAsTheyAre() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            try await fixture.submit(2)
            let leases = try await worker.claim(2, lease: .seconds(60)).map(\.lease)
            _ = try await worker.complete([JobResult(leases[0])])
            _ = try await worker.fail([JobFailure(leases[1], retryable: false)])
            #expect(try await fixture.queue.cancel(.batch("b")) == 0)
            #expect(try await fixture.state(of: leases[0].jobID) == .completed)
            #expect(try await fixture.state(of: leases[1].jobID) == .failed)
        }
    }

    enum End: CaseIterable { case release, retryableFailure, permanentFailure, completion, vanishing }

    @Test(arguments: End.allCases)
    func runningJobsEndWhenTheirWorkerDoes(end: End) async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            let lease = try await fixture.claimOne(worker).lease
            #expect(try await fixture.queue.cancel(.job(lease.jobID)) == 1)
            #expect(try await fixture.queue.cancel(.job(lease.jobID)) == 0)
            #expect(try await fixture.state(of: lease.jobID) == .running)
            let progress = JobProgress(lease: lease, promptTokens: 1, outputTokens: 0)
            #expect(
                try await worker.heartbeat([progress], lease: .seconds(60))
                    == [HeartbeatSignal(jobID: lease.jobID, reason: .cancel)])
            var expected = JobState.cancelled
            let settled: [Settlement]
            switch end {
            case .release: settled = try await worker.release([lease])
            case .retryableFailure: settled = try await worker.fail([JobFailure(lease, retryable: true)])
            case .permanentFailure:
                expected = .failed
                settled = try await worker.fail([JobFailure(lease, retryable: false)])
            case .completion:
                expected = .completed
                settled = try await worker.complete([JobResult(lease)])
            case .vanishing:
                try await fixture.expireLease(of: lease.jobID)
                settled = try await fixture.queue.rescue()
            }
            #expect(settled == [Settlement(jobID: lease.jobID, state: expected)])
            #expect(try await fixture.state(of: lease.jobID) == expected)
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func aBatchIsCancelledWhileWorkersRunIt() async throws {
        try await withQueue(connections: 6) { fixture in
            try await fixture.submit(1000)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        let worker = try await fixture.worker()
                        while true {
                            let leases = try await worker.claim(7, lease: .seconds(60)).map(\.lease)
                            if leases.isEmpty { return }
                            _ = try await worker.complete(leases.prefix(3).map { JobResult($0) })
                            _ = try await worker.release(Array(leases.dropFirst(3)))
                        }
                    }
                }
                group.addTask { try await fixture.queue.cancel(.batch("b")) }
                try await group.waitForAll()
            }
            // Whatever slipped through while it changed hands is left waiting, never half ended.
            #expect(try await fixture.inconsistencies() == 0)
            #expect(try await fixture.queue.unfinished().running == 0)
        }
    }
}
