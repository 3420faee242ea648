// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Engine
import JobQueue
import Kernels
import Logging
import Monitoring
import PostgreSQL
import ServiceLifecycle

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
    /// How often it notes for dashboards what it does.
    private static let reportInterval = Duration.seconds(10)
    /// How often it looks for outputs to write down, and by how many tokens they must have grown.
    private static let checkpointInterval = Duration.milliseconds(200), checkpointTokens = 256

    private let queue: JobQueue
    private let worker: JobWorker
    private let runner: JobRunner
    private let active: ActiveJobs
    private let settings: WorkerSettings
    private let budget: KVBudget
    private let mode: Mode
    private let telemetry: Telemetry
    private let logger: Logger

    /// Makes a daemon of its parts. The engine is stopped when the daemon has ended.
    ///
    /// - Parameters:
    ///   - fingerprint: Stands for the model and the settings that decide what prompts come to.
    ///   - sparse: What generated tokens attend to.
    ///   - kvTokens: Tokens whose keys and values the engine can hold; bounds what is claimed.
    public init(
        queue: JobQueue, worker: JobWorker, engine: GenerationEngine, fingerprint: CacheFingerprint,
        sparse: SparseAttention?, preparer: JobPreparer, kvTokens: Int, settings: WorkerSettings, mode: Mode,
        telemetry: Telemetry, logger: Logger
    ) {
        budget = KVBudget(capacity: kvTokens)
        active = ActiveJobs()
        runner = JobRunner(
            worker: worker, engine: engine, fingerprint: fingerprint, sparse: sparse, preparer: preparer,
            active: active,
            metrics: telemetry.jobs, logger: logger)
        self.telemetry = telemetry
        self.queue = queue
        self.worker = worker
        self.settings = settings
        self.mode = mode
        self.logger = logger
    }

    /// What was done so far.
    public var status: DaemonStatus { runner.status }

    /// Works until it is shut down or, when draining, until nothing is left.
    public func run() async throws {
        let (wakes, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        logger.info("Ready for jobs.", metadata: ["worker": "\(worker.id)"])
        observe()
        await withGracefulShutdownHandler {
            await withTaskGroup(of: Void.self) { background in
                background.addTask { await self.followQueue(wake: wake) }
                background.addTask { await self.keepLeases() }
                background.addTask { await self.keepCheckpoints() }
                background.addTask { await self.reportLoad() }
                if let store = self.runner.engine.store {
                    let catalogue = CacheCatalogue(store: store, queue: self.queue)
                    let keeper = CacheKeeper(store: store, catalogue: catalogue, logger: self.logger)
                    background.addTask { await keeper.run() }
                }
                if let manager = ServiceManager() {
                    background.addTask { await manager.keepInformed(of: self.telemetry.health) }
                }
                await self.work(wakes: wakes, wake: wake)
                background.cancelAll()
            }
        } onGracefulShutdown: {
            self.telemetry.health.enter(.stopping)
            ServiceManager()?.notify("STOPPING=1")
            wake.yield()
        }
        runner.engine.stop()
        await runner.engine.flush()
        try await worker.retire()
        logger.info("Done.", metadata: ["completed": "\(status.completed)", "failed": "\(status.failed)"])
    }

    /// Claims and runs jobs until it is time to end, then brings those under way to an end.
    private func work(wakes: AsyncStream<Void>, wake: AsyncStream<Void>.Continuation) async {
        await withDiscardingTaskGroup { jobs in
            for await _ in wakes {
                if Task.isShuttingDownGracefully || Task.isCancelled { break }
                for (job, ticket) in await claim() {
                    jobs.addTask {
                        await self.runner.run(job, ticket: ticket) { wake.yield() }
                        wake.yield()
                    }
                }
                if mode == .drain, await isDrained() { break }
            }
            await handBack()
        }
    }

    private func claim() async -> [(ClaimedJob, ticket: UInt64)] {
        let room = min(settings.maxJobs - active.count, Self.lookahead - active.inPrefill)
        let inputBytes = budget.inputBytes(beside: active.kvTokens)
        // An idle daemon takes one job whatever its size; a busy one waits until a byte is free.
        guard room > 0, !active.isReserved, inputBytes > 0 || active.count == 0 else { return [] }
        do {
            let jobs = try await worker.claim(
                room, holding: active.count, lease: settings.lease, inputBytes: inputBytes, prefixes: active.prefixes)
            telemetry.health.databaseAnswered()
            return jobs.map { job in
                telemetry.jobs.claimed(submittedAt: job.submittedAt)
                let ticket = runner.engine.ticket()
                active.add(job, ticket: ticket)
                return (job, ticket)
            }
        } catch {
            warn("The queue cannot be read; trying again.", error)
            return []
        }
    }

    private func isDrained() async -> Bool {
        do {
            let unfinished = try await queue.unfinished().total
            runner.counters.update { $0.unfinished = unfinished }
            return unfinished == 0 && active.count == 0
        } catch {
            warn("The queue cannot be counted; trying again.", error)
            return false
        }
    }

    /// Lets the jobs under way finish for the grace time, then takes them off the engine: each hands itself back.
    private func handBack() async {
        let deadline = ContinuousClock.now + settings.grace
        while active.count > 0, ContinuousClock.now < deadline {
            // The sleep ends at once when the process is cancelled, and the grace time with it.
            guard (try? await Task.sleep(for: .milliseconds(50))) != nil else { break }
        }
        await saveCheckpoints(grownBy: 1)
        for entry in active.all { runner.interrupt(entry.lease.jobID, .shutdown) }
    }

    /// Passes on what wakes the queue, and sees to leases that ran out and jobs that were cancelled.
    private func followQueue(wake: AsyncStream<Void>.Continuation) async {
        for await reason in queue.wakeUps(pollInterval: settings.poll) {
            switch reason {
            case .cancelRequested: await sendHeartbeat()
            case .jobsAvailable: break
            case .poll: await keepHouse()
            }
            wake.yield()
        }
    }

    private func keepHouse() async {
        do {
            do {
                try await queue.tidy(retention: settings.retention)
            } catch {
                // Jobs of daemons that died are not to wait for it.
                warn("The queue could not be tidied; trying again.", error)
            }
            let rescued = try await queue.rescue()
            telemetry.health.databaseAnswered()
            telemetry.jobs.rescued(rescued.count)
            if !rescued.isEmpty {
                logger.notice("Took jobs from workers that vanished.", metadata: ["jobs": "\(rescued.count)"])
            }
        } catch {
            warn("The queue could not be kept in order; trying again.", error)
        }
    }

    private func keepLeases() async {
        while (try? await Task.sleep(for: settings.lease / 4)) != nil { await sendHeartbeat() }
    }

    /// Writes down how far long outputs have come, so that an attempt that is cut short is not made again from the first token.
    private func keepCheckpoints() async {
        while (try? await Task.sleep(for: Self.checkpointInterval)) != nil {
            await saveCheckpoints(grownBy: Self.checkpointTokens)
        }
    }

    private func saveCheckpoints(grownBy tokens: Int) async {
        do {
            try await runner.saveCheckpoints(grownBy: tokens)
        } catch {
            warn("How far outputs have come could not be written down; trying again.", error)
        }
    }

    /// Keeps the leases, writes progress and takes off the engine what must not go on.
    private func sendHeartbeat() async {
        do {
            let signals = try await worker.heartbeat(runner.progress, lease: settings.lease)
            for signal in signals { runner.interrupt(signal.jobID, ActiveJobs.Interruption(signal.reason)) }
            // Whoever cancelled need not wait for the engine's step. The job's own release comes later and changes nothing.
            let cancelled = Set(signals.filter { $0.reason == .cancel }.map(\.jobID))
            _ = try await worker.release(active.all.map(\.lease).filter { cancelled.contains($0.jobID) })
            telemetry.health.databaseAnswered()
        } catch {
            warn("The heartbeat failed; trying again.", error)
        }
    }

    private func warn(_ message: Logger.Message, _ error: any Error) {
        telemetry.jobs.databaseFailed()
        logger.warning(message, metadata: ["error": "\(error)"])
    }
}

// What it lets others see of itself.
extension Daemon {
    private func observe() {
        let engine = runner.engine
        let engineMetrics = EngineMetrics(factory: telemetry.registry) { engine.load }
        let queueMetrics = QueueMetrics(queue: queue, telemetry: telemetry)
        telemetry.registry.beforeEachScrape { engineMetrics.collect() }
        if let store = engine.store {
            let cacheMetrics = CacheMetrics(factory: telemetry.registry) { (store.statistics, store.bytes) }
            telemetry.registry.beforeEachScrape { cacheMetrics.collect() }
        }
        telemetry.registry.beforeEachScrape { await queueMetrics.collect() }
        telemetry.health.watchSteps { engine.load.stepBegan }
        telemetry.health.enter(.working)
    }

    /// Notes for dashboards what the engine did. A report that is lost is not made up for: it is not worth a retry.
    private func reportLoad() async {
        var reporter = LoadReporter(runner.engine.load)
        while (try? await Task.sleep(for: Self.reportInterval)) != nil {
            let load = reporter.report(
                runner.engine.load, residentBytes: ProcessStatistics.current().residentBytes)
            do {
                try await worker.report(load)
            } catch {
                logger.debug("A report for dashboards was lost.", metadata: ["error": "\(error)"])
            }
        }
    }
}
