// SPDX-License-Identifier: Apache-2.0
import JobQueue

/// The rules of the queue, written down a second time as plainly as possible.
struct QueueModel {
    struct Job {
        let priority: Int
        let maxAttempts: Int
        let batch: String
        var state: JobState
        var attempt = 0
        var interruptions = 0
        var isDue = true
        var token: Int64?
        var isCancelRequested = false
        var isPastDeadline = false
        var isLeaseExpired = false
        var errors = 0
        /// Runs with nothing beside it, for its worker has vanished once.
        var isAlone = false
        var deathsAlone = 0
    }

    private(set) var jobs: [Int64: Job] = [:]

    mutating func submit(_ id: Int64, batch: String, priority: Int, maxAttempts: Int, later: Bool) {
        jobs[id] = Job(
            priority: priority, maxAttempts: maxAttempts, batch: batch, state: later ? .scheduled : .available,
            isDue: !later)
    }

    mutating func makeDue(_ id: Int64) {
        if let state = jobs[id]?.state, !state.isFinal { jobs[id]?.isDue = true }
    }

    /// The jobs that a claim of `limit` must give, in order.
    mutating func claim(_ limit: Int) -> [Int64] {
        for (id, job) in jobs where job.isDue && (job.state == .scheduled || job.state == .retryable) {
            jobs[id]?.state = .available
        }
        let waiting = jobs.filter { $0.value.state == .available }
        if let suspect = waiting.filter({ $0.value.interruptions > 0 }).keys.min() { return [suspect] }
        return waiting.keys.sorted { (-waiting[$0]!.priority, $0) < (-waiting[$1]!.priority, $1) }.prefix(limit).map {
            $0
        }
    }

    mutating func start(_ id: Int64, token: Int64) -> Int {
        jobs[id]!.state = .running
        jobs[id]!.attempt += 1
        jobs[id]!.token = token
        jobs[id]!.isAlone = jobs[id]!.interruptions > 0
        return jobs[id]!.attempt
    }

    func holds(_ lease: Lease) -> Bool { jobs[lease.jobID]?.token == lease.token }

    mutating func complete(_ id: Int64) -> JobState { end(id, .completed) }

    mutating func fail(_ id: Int64, retryable: Bool) -> JobState {
        let job = jobs[id]!
        jobs[id]!.errors += 1
        guard retryable, job.attempt < job.maxAttempts else { return end(id, .failed) }
        return job.isCancelRequested ? end(id, .cancelled) : end(id, .retryable)
    }

    mutating func release(_ id: Int64) -> JobState {
        jobs[id]!.attempt -= 1
        return end(id, jobs[id]!.isCancelRequested ? .cancelled : .available)
    }

    mutating func renew(_ id: Int64) -> HeartbeatSignal.Reason? {
        jobs[id]!.isLeaseExpired = false
        if jobs[id]!.isCancelRequested { return .cancel }
        return jobs[id]!.isPastDeadline ? .timeout : nil
    }

    mutating func expireLease(_ id: Int64) {
        if jobs[id]?.state == .running { jobs[id]!.isLeaseExpired = true }
    }

    mutating func passDeadline(_ id: Int64) {
        if jobs[id]?.state == .running { jobs[id]!.isPastDeadline = true }
    }

    mutating func rescue() -> [Int64: JobState] {
        var found: [Int64: JobState] = [:]
        for (id, job) in jobs where job.isLeaseExpired || job.isPastDeadline {
            if !job.isPastDeadline {
                jobs[id]!.attempt -= 1
                jobs[id]!.interruptions += 1
            }
            if job.isCancelRequested {
                found[id] = end(id, .cancelled)
            } else if job.isPastDeadline {
                jobs[id]!.errors += 1
                found[id] = end(id, job.attempt < job.maxAttempts ? .retryable : .failed)
            } else if job.isAlone && job.deathsAlone + 1 >= 2 || job.interruptions + 1 >= 5 {
                jobs[id]!.errors += 1
                found[id] = end(id, .failed)
            } else {
                if job.isAlone { jobs[id]!.deathsAlone += 1 }
                found[id] = end(id, .available)
            }
        }
        return found
    }

    mutating func cancel(where matches: (Int64, Job) -> Bool) -> Int {
        var affected = 0
        for (id, job) in jobs where matches(id, job) && !job.state.isFinal && !job.isCancelRequested {
            affected += 1
            if job.state == .running { jobs[id]!.isCancelRequested = true } else { jobs[id]!.state = .cancelled }
        }
        return affected
    }

    mutating func redrive(where matches: (Int64, Job) -> Bool) -> Int {
        var affected = 0
        for (id, job) in jobs where matches(id, job) && job.state == .failed {
            affected += 1
            jobs[id]!.state = .available
            jobs[id]!.attempt = 0
            jobs[id]!.interruptions = 0
            jobs[id]!.deathsAlone = 0
            jobs[id]!.isDue = true
        }
        return affected
    }

    private mutating func end(_ id: Int64, _ state: JobState) -> JobState {
        jobs[id]!.state = state
        jobs[id]!.token = nil
        jobs[id]!.isCancelRequested = false
        jobs[id]!.isPastDeadline = false
        jobs[id]!.isLeaseExpired = false
        if state == .retryable { jobs[id]!.isDue = false }
        return state
    }
}
