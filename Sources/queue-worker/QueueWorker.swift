// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Database
import Foundation
import JobQueue
import Logging
import PostgreSQL

/// A worker without a model, for `ops/soak` and `ops/bench/queue`: claims jobs, holds them for a while, completes them.
///
/// It goes on through everything but its own death: a database that restarts, leases that it lost while it was stopped.
@main
struct QueueWorker: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queue-worker", abstract: "Claim jobs and complete them without doing anything.",
        discussion: "For measurements and endurance tests. Do not run it on a queue whose jobs you want done.")

    @Option(help: "Jobs of one claim.")
    var claim = 10

    @Option(help: "Milliseconds that each job of a claim is held.")
    var hold = 0

    @Option(help: "Seconds that a job stays this worker's without a heartbeat.")
    var lease = 60.0

    @Option(help: "Stop after so many jobs.")
    var jobs = Int.max

    @Flag(help: "Stop when nothing is left to do.")
    var drain = false

    @Option(help: "A file that gets a line 'job token' for each result that the database says it took.")
    var journal: String?

    func run() async throws {
        var logger = Logger(label: "queue-worker") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .notice
        let client = PostgresClient(try DatabaseLocation.resolve().settings, size: 1, logger: logger)
        let queue = JobQueue(client: client, logger: logger)
        let worker = try await queue.register(
            host: ProcessInfo.processInfo.hostName, processID: Int(getpid()), version: "queue-worker")
        var loop = NoOpLoop(
            queue: queue, worker: worker, hold: .milliseconds(hold), lease: .seconds(lease),
            journal: try journal.map(Journal.init))
        let start = ContinuousClock.now
        while loop.completed < jobs {
            do {
                let found = try await loop.step(atMost: min(claim, jobs - loop.completed))
                if !found, drain, try await queue.unfinished().total == 0 { break }
            } catch let error as PostgresError where error.isTransient {
                logger.notice("Trying again.", metadata: ["error": "\(error)"])
                try await Task.sleep(for: .milliseconds(100))
            }
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        try? await worker.retire()
        await client.close()
        print("completed \(loop.completed) jobs, \(Int(Double(loop.completed) / seconds)) jobs/s")
    }
}

/// Takes jobs and completes them, and does its share of the queue's housekeeping, as daemons do.
struct NoOpLoop {
    let queue: JobQueue
    let worker: JobWorker
    let hold: Duration
    let lease: Duration
    let journal: Journal?
    /// Results that the database took.
    private(set) var completed = 0
    private var lastCare = ContinuousClock.now

    init(queue: JobQueue, worker: JobWorker, hold: Duration, lease: Duration, journal: Journal?) {
        self.queue = queue
        self.worker = worker
        self.hold = hold
        self.lease = lease
        self.journal = journal
    }

    /// Claims once and completes what it got.
    ///
    /// - Returns: Whether there was anything to do.
    mutating func step(atMost limit: Int) async throws -> Bool {
        if ContinuousClock.now - lastCare > .seconds(1) { try await keepHouse() }
        let jobs = try await worker.claim(limit, lease: lease)
        guard !jobs.isEmpty else {
            try await keepHouse()
            try await Task.sleep(for: .milliseconds(50))
            return false
        }
        if hold > .zero { try await holdOn(to: jobs) }
        let results = jobs.map { job in
            JobResult(
                lease: job.lease, output: "\(worker.id):\(job.lease.token)", finishReason: "stop",
                usage: JobUsage(promptTokens: 10, outputTokens: 2, prefillSeconds: 0.1, decodeSeconds: 0.1))
        }
        let taken = Set(try await worker.complete(results).filter { !$0.isFenced }.map(\.jobID))
        try journal?.add(jobs.map(\.lease).filter { taken.contains($0.jobID) })
        completed += taken.count
        return true
    }

    private mutating func keepHouse() async throws {
        lastCare = .now
        try await queue.tidy()
        try await queue.rescue()
    }

    /// Sleeps for the jobs' time and renews their leases meanwhile. Completes lost ones all the same: the database must
    /// refuse them.
    private func holdOn(to jobs: [ClaimedJob]) async throws {
        let end = ContinuousClock.now + hold * jobs.count
        let progress = jobs.map { JobProgress(lease: $0.lease, promptTokens: 10, outputTokens: 0) }
        while case let left = end - ContinuousClock.now, left > .zero {
            try await Task.sleep(for: min(left, lease / 3))
            if left > lease / 3 { _ = try await worker.heartbeat(progress, lease: lease) }
        }
    }
}

/// An append-only file of results that were acknowledged.
struct Journal {
    private let file: FileHandle

    init(path: String) throws {
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT, 0o600)
        guard descriptor >= 0 else {
            throw ValidationError("\(path) cannot be written: \(String(cString: strerror(errno)))")
        }
        file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }

    func add(_ leases: [Lease]) throws {
        try file.write(contentsOf: Data(leases.map { "\($0.jobID) \($0.token)\n" }.joined().utf8))
    }
}
