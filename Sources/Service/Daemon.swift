// SPDX-License-Identifier: Apache-2.0

import Engine
import JobQueue
import Logging
import PostgreSQL
import ServiceLifecycle
import Synchronization

/// Takes jobs from the queue, runs them in one batch and writes each result the moment it is there.
public final class Daemon: ServiceLifecycle.Service {
    /// When a daemon ends by itself.
    public enum Mode: Sendable {
        /// Never: it waits for new jobs.
        case serve
        /// When the queue holds nothing unfinished, now or later, here or elsewhere.
        case drain
    }

    /// Jobs taken ahead of the engine's prefill, so that it never waits and other daemons still get their share.
    private static let lookahead = 4

    private let queue: JobQueue
    private let runner: JobRunner
    private let active: ActiveJobs
    private let settings: WorkerSettings
    private let mode: Mode
    private let logger: Logger
    private let counters: StatusCounters

    /// Makes a daemon of its parts.
    public init(
        queue: JobQueue, engine: GenerationEngine, preparer: JobPreparer, settings: WorkerSettings, mode: Mode,
        logger: Logger
    ) {
        active = ActiveJobs()
        counters = StatusCounters()
        runner = JobRunner(
            queue: queue, engine: engine, preparer: preparer, active: active, counters: counters, logger: logger)
        self.queue = queue
        self.settings = settings
        self.mode = mode
        self.logger = logger
    }

    /// What was done so far.
    public var status: DaemonStatus { runner.status }

    /// Works until it is shut down or, when draining, until nothing is left.
    public func run() async throws {
        let (wakes, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        wake.yield()
        await withGracefulShutdownHandler {
            await withTaskGroup(of: Void.self) { background in
                background.addTask { await self.relayQueueWakes(to: wake) }
                background.addTask { await self.sendHeartbeats() }
                await self.work(wakes: wakes, wake: wake)
                background.cancelAll()
            }
        } onGracefulShutdown: {
            wake.yield()
        }
    }

    /// Claims and runs jobs until it is time to end, then brings those under way to an end.
    private func work(wakes: AsyncStream<Void>, wake: AsyncStream<Void>.Continuation) async {
        await withDiscardingTaskGroup { jobs in
            for await _ in wakes {
                if Task.isShuttingDownGracefully || Task.isCancelled { break }
                for job in await claim() {
                    jobs.addTask {
                        await self.runner.run(job) { wake.yield() }
                        wake.yield()
                    }
                }
                if mode == .drain, await isDrained() { break }
            }
            await handBack()
        }
    }

    private func claim() async -> [ClaimedJob] {
        let room = min(settings.maxJobs - active.count, Self.lookahead - active.inPrefill)
        guard room > 0 else { return [] }
        do {
            let claimed = try await queue.claim(limit: room, lease: settings.lease)
            for job in claimed { active.add(job.lease, ticket: runner.ticket()) }
            return claimed
        } catch {
            logger.warning("The queue cannot be read; trying again.", metadata: ["error": "\(error)"])
            return []
        }
    }

    private func isDrained() async -> Bool {
        do {
            let unfinished = try await queue.unfinishedCount()
            counters.update { $0.unfinished = unfinished }
            return unfinished == 0 && active.count == 0
        } catch {
            logger.warning("The queue cannot be counted; trying again.", metadata: ["error": "\(error)"])
            return false
        }
    }

    /// Lets the jobs under way finish for the grace time, then takes them off the engine: each hands itself back.
    private func handBack() async {
        let deadline = ContinuousClock.now + settings.grace
        while active.count > 0, ContinuousClock.now < deadline {
            // Structured sleep ends at once when the group is cancelled; the jobs then end with it.
            guard (try? await Task.sleep(for: .milliseconds(50))) != nil else { break }
        }
        for entry in active.all { runner.interrupt(entry.lease.jobID, .shutdown) }
    }

    /// Passes on what wakes the queue: notifications and the poll clock.
    private func relayQueueWakes(to wake: AsyncStream<Void>.Continuation) async {
        for await _ in queue.wakeUps(pollInterval: settings.poll) { wake.yield() }
    }

    /// Keeps the leases, writes progress and learns what is cancelled or lost.
    private func sendHeartbeats() async {
        while (try? await Task.sleep(for: settings.lease / 4)) != nil {
            let beats = active.all.map(runner.heartbeat)
            guard !beats.isEmpty else { continue }
            do {
                let reply = try await queue.heartbeat(beats, lease: settings.lease)
                for jobID in reply.lost { runner.interrupt(jobID, .leaseLost) }
                for jobID in reply.cancelRequested { runner.interrupt(jobID, .cancelled) }
            } catch {
                logger.warning("The heartbeat failed; trying again.", metadata: ["error": "\(error)"])
            }
        }
    }
}
