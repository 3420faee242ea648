// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import PostgreSQL
import SeededRandom
import Testing

/// Random sequences of everything that submitters, workers and time can do: the database must answer as ``QueueModel``
/// does, hold the same states, and keep its counters right.
@Suite(.serialized) struct StateMachineTests {
    @Test(arguments: 1...6)
    func randomOperationsAgreeWithTheModel(seed: UInt64) async throws {
        try await withQueue { fixture in
            var run = RandomRun(fixture: fixture, worker: try await fixture.worker(), seed: seed)
            for step in 1...250 {
                let operation = try await run.step()
                // Only the test lets time pass.
                try await fixture.client.query(
                    "UPDATE deltakv.queue SET run_at = now() + interval '1 hour' WHERE run_at > now()")
                try await run.compare("seed \(seed), step \(step), \(operation)")
            }
            #expect(try await fixture.inconsistencies() == 0)
        }
    }
}

private struct RandomRun {
    let fixture: QueueFixture
    let worker: JobWorker
    var random: SplitMix
    var model = QueueModel()
    /// Every lease ever given, most of them stale.
    var leases: [Lease] = []

    init(fixture: QueueFixture, worker: JobWorker, seed: UInt64) {
        self.fixture = fixture
        self.worker = worker
        random = SplitMix(state: seed)
    }

    mutating func step() async throws -> String {
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<4: try await submit()
        case 4..<8: try await claim()
        case 8, 9: try await complete()
        case 10, 11: try await fail()
        case 12: try await release()
        case 13: try await heartbeat()
        case 14: try await expireAndRescue()
        case 15: try await makeDue()
        case 16: try await cancelJob()
        case 17: try await redriveJob()
        default: try await batchWide()
        }
    }

    /// States, attempts, interruptions and errors of all jobs, as the model has them.
    func compare(_ context: String) async throws {
        let rows = try await fixture.client.query(
            """
            SELECT r.job_id, r.state, r.attempts, coalesce(q.interruptions, 0) AS interruptions,
                q.cancel_requested_at IS NOT NULL AS cancel,
                (SELECT count(*) FROM deltakv.job_errors e WHERE e.job_id = r.job_id) AS errors
            FROM deltakv.results r LEFT JOIN deltakv.queue q USING (job_id)
            """)
        try #require(rows.count == model.jobs.count, "\(context)")
        for row in rows {
            let id: Int64 = try row.get("job_id")
            let job = try #require(model.jobs[id], "\(context)")
            let found =
                "\(try row.get("state", as: String.self)) \(try row.get("attempts", as: Int.self)) "
                + "\(try row.get("interruptions", as: Int.self)) \(try row.get("cancel", as: Bool.self)) "
                + "\(try row.get("errors", as: Int.self))"
            let interruptions = job.state.isFinal ? 0 : job.interruptions
            let expected = "\(job.state) \(job.attempt) \(interruptions) \(job.isCancelRequested) \(job.errors)"
            try #require(found == expected, "job \(id) after \(context)")
        }
        try #require(try await fixture.inconsistencies() == 0, "\(context)")
    }

    private mutating func submit() async throws -> String {
        let priority = Int.random(in: -1...1, using: &random)
        let attempts = Int.random(in: 1...3, using: &random)
        let batch = ["x", "y"].randomElement(using: &random)!
        let later = Int.random(in: 0..<4, using: &random) == 0
        let ids = try await fixture.submit(
            Int.random(in: 1...4, using: &random), batch: batch, priority: priority, maxAttempts: attempts,
            runAt: later ? Date(timeIntervalSinceNow: 3600) : nil)
        for id in ids {
            model.submit(id, batch: batch, priority: priority, maxAttempts: attempts, later: later)
        }
        return "submit"
    }

    private mutating func claim() async throws -> String {
        let limit = Int.random(in: 1...4, using: &random)
        let expected = model.claim(limit)
        let jobs = try await worker.claim(limit, lease: .seconds(3600), attemptTimeout: .seconds(3600))
        try #require(jobs.map(\.lease.jobID) == expected)
        for job in jobs {
            #expect(model.start(job.lease.jobID, token: job.lease.token) == job.attempt)
            leases.append(job.lease)
        }
        return "claim"
    }

    /// A few leases, of different jobs, most of them held.
    private mutating func someLeases() -> [Lease] {
        let held = leases.filter(model.holds)
        let pool = held.isEmpty || Int.random(in: 0..<4, using: &random) == 0 ? leases : held
        var seen: Set<Int64> = []
        return pool.shuffled(using: &random).prefix(3).filter { seen.insert($0.jobID).inserted }
    }

    private mutating func check(
        _ settled: [Settlement], for leases: [Lease], _ rule: (inout QueueModel, Lease) -> JobState
    ) {
        var expected: [Int64: JobState?] = [:]
        for lease in leases {
            expected[lease.jobID] = model.holds(lease) ? rule(&model, lease) : JobState?.none
        }
        let found = Dictionary(uniqueKeysWithValues: settled.map { ($0.jobID, $0.state) })
        #expect(found == expected)
    }

    private mutating func complete() async throws -> String {
        // A result acknowledged before is acknowledged again, which the model does not follow.
        let chosen = someLeases().filter { model.holds($0) || model.jobs[$0.jobID]?.state.isFinal == false }
        check(try await worker.complete(chosen.map { JobResult($0) }), for: chosen) { $0.complete($1.jobID) }
        return "complete"
    }

    private mutating func fail() async throws -> String {
        let chosen = someLeases().filter { model.holds($0) || model.jobs[$0.jobID]?.state.isFinal == false }
        let failures = chosen.map { JobFailure($0, retryable: Bool.random(using: &random)) }
        let retryable = Dictionary(uniqueKeysWithValues: failures.map { ($0.lease, $0.isRetryable) })
        check(try await worker.fail(failures), for: chosen) { $0.fail($1.jobID, retryable: retryable[$1]!) }
        return "fail"
    }

    private mutating func release() async throws -> String {
        let chosen = someLeases().filter { model.holds($0) || model.jobs[$0.jobID]?.state.isFinal == false }
        check(try await worker.release(chosen), for: chosen) { $0.release($1.jobID) }
        return "release"
    }

    private mutating func heartbeat() async throws -> String {
        let chosen = someLeases()
        let signals = try await worker.heartbeat(
            chosen.map { JobProgress(lease: $0, promptTokens: 1, outputTokens: 1) }, lease: .seconds(3600))
        var expected: [Int64: HeartbeatSignal.Reason] = [:]
        for lease in chosen { expected[lease.jobID] = model.holds(lease) ? model.renew(lease.jobID) : .lost }
        #expect(Dictionary(uniqueKeysWithValues: signals.map { ($0.jobID, $0.reason) }) == expected)
        return "heartbeat"
    }

    private mutating func expireAndRescue() async throws -> String {
        for id in model.jobs.keys.sorted().shuffled(using: &random).prefix(6) {
            if Bool.random(using: &random) {
                try await fixture.expireLease(of: id)
                model.expireLease(id)
            } else if Bool.random(using: &random) {
                try await fixture.passDeadline(of: id)
                model.passDeadline(id)
            }
        }
        if Bool.random(using: &random) { return "expire" }
        let found = try await fixture.queue.rescue()
        #expect(Dictionary(uniqueKeysWithValues: found.map { ($0.jobID, $0.state) }) == model.rescue().mapValues { $0 })
        return "rescue"
    }

    private mutating func makeDue() async throws -> String {
        for id in model.jobs.keys.sorted().shuffled(using: &random).prefix(5) {
            try await fixture.makeDue(id)
            model.makeDue(id)
        }
        return "make due"
    }

    private mutating func cancelJob() async throws -> String {
        guard let id = model.jobs.keys.sorted().randomElement(using: &random) else { return "nothing" }
        #expect(try await fixture.queue.cancel(.job(id)) == model.cancel { job, _ in job == id })
        return "cancel \(id)"
    }

    private mutating func redriveJob() async throws -> String {
        guard let id = model.jobs.keys.sorted().randomElement(using: &random) else { return "nothing" }
        #expect(try await fixture.queue.redrive(.job(id)) == model.redrive { job, _ in job == id })
        return "redrive \(id)"
    }

    private mutating func batchWide() async throws -> String {
        let batch = ["x", "y", "z"].randomElement(using: &random)!
        if Int.random(in: 0..<8, using: &random) == 0 {
            #expect(try await fixture.queue.cancel(.batch(batch)) == model.cancel { $1.batch == batch })
            return "cancel batch \(batch)"
        }
        #expect(try await fixture.queue.redrive(.batch(batch)) == model.redrive { $1.batch == batch })
        return "redrive batch \(batch)"
    }
}
