// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Engine
import JobQueue
import Kernels
import Logging

/// Runs claimed jobs to their end and writes what came of them.
struct JobRunner: Sendable {
    let worker: JobWorker
    let results: ResultWriter
    let engine: GenerationEngine
    /// Stands for the model and the settings that decide what prompts come to.
    let fingerprint: CacheFingerprint
    /// What generated tokens attend to.
    let sparse: SparseAttention?
    let preparer: JobPreparer
    let active: ActiveJobs
    let counters = StatusCounters()
    let metrics: JobMetrics
    let logger: Logger

    init(
        worker: JobWorker, engine: GenerationEngine, fingerprint: CacheFingerprint, sparse: SparseAttention?,
        preparer: JobPreparer, active: ActiveJobs, metrics: JobMetrics, logger: Logger
    ) {
        self.worker = worker
        results = ResultWriter(worker: worker)
        self.engine = engine
        self.fingerprint = fingerprint
        self.sparse = sparse
        self.preparer = preparer
        self.active = active
        self.metrics = metrics
        self.logger = logger
    }

    /// What was done so far, the running jobs' progress included.
    var status: DaemonStatus {
        var status = counters.current
        for job in progress {
            status.active += 1
            status.promptTokens += job.promptTokens
            status.outputTokens += job.outputTokens
        }
        return status
    }

    /// How far each job under way is.
    var progress: [JobProgress] {
        active.all.map { entry in
            let progress = engine.progress(of: entry.ticket)
            return JobProgress(
                lease: entry.lease, promptTokens: progress?.promptTokens ?? 0,
                outputTokens: progress?.outputTokens ?? 0)
        }
    }

    /// Takes a job off the engine; its task then ends it according to the reason.
    func interrupt(_ jobID: Int64, _ reason: ActiveJobs.Interruption) {
        if let ticket = active.interrupt(jobID, reason) { engine.cancel(ticket) }
    }

    /// Writes down the outputs that have grown by at least so many tokens since that was done last.
    func saveCheckpoints(grownBy tokens: Int) async throws {
        let checkpoints = active.checkpoints(grownBy: tokens)
        try await worker.save(checkpoints)
        active.saved(checkpoints)
    }

    /// Runs a job that is in `active`, and takes it out again when its outcome is written.
    ///
    /// - Parameter onDecoding: Is called when the prompt is done, and the engine could take another.
    func run(_ job: ClaimedJob, ticket: UInt64, onDecoding: @escaping @Sendable () -> Void) async {
        let lease = job.lease
        let start = ContinuousClock.now
        defer { active.remove(lease.jobID) }
        do {
            var request = try preparer.request(for: JobPreparer.Input(job))
            let identity = OutputIdentity(of: request, engine: fingerprint, sparse: sparse)
            request.resumed = identity?.resumable(job.checkpoint) ?? []
            active.prepared(
                lease.jobID, kvTokens: KVBudget.tokens(of: request), identity: identity, output: request.resumed)
            let generation = try await engine.generate(request, ticket: ticket) { piece in
                guard active.add(piece.token, to: lease.jobID) else { return }
                metrics.firstToken(after: .now - start)
                onDecoding()
            }
            let result = JobResult(lease: lease, generation, choices: preparer.choices(of: generation))
            if await write(lease, { [try await results.write(result)] }) {
                counters.add(generation)
                let took = ContinuousClock.now - start
                metrics.completed(generation, after: took)
                logger.debug(
                    "Job completed.",
                    metadata: lease.logged(
                        with: [
                            "prompt_tokens": "\(generation.promptTokens)",
                            "cached_tokens": "\(generation.cachedTokens)",
                            "output_tokens": "\(generation.outputTokens)",
                            "resumed_tokens": "\(generation.resumedTokens)",
                            "prefill_seconds": "\(generation.prefillSeconds)",
                            "decode_seconds": "\(generation.decodeSeconds)", "seconds": "\(took / .seconds(1))",
                        ]))
            }
        } catch let fault as JobFault {
            await fail(lease, fault)
        } catch let error as GenerationError where error != .engineStopped {
            await fail(lease, JobFault(error))
        } catch {
            await end(lease, after: active.interruption(of: lease.jobID) ?? .shutdown)
        }
    }

    private func fail(_ lease: Lease, _ fault: JobFault) async {
        logger.info("Job failed.", metadata: lease.logged(with: ["code": "\(fault.code.rawValue)"]))
        let failure = JobFailure(
            lease: lease, error: JobError(code: fault.code.rawValue, message: fault.message),
            isRetryable: fault.isTransient)
        if await write(lease, { try await worker.fail([failure]) }) {
            counters.update { $0.failed += 1 }
            metrics.failed(code: fault.code.rawValue)
        }
    }

    private func end(_ lease: Lease, after interruption: ActiveJobs.Interruption) async {
        switch interruption {
        case .leaseLost:
            metrics.leaseLost()
            metrics.ended(.fenced)
            logger.notice("The lease went elsewhere; job dropped.", metadata: lease.logged())
        case .deadlinePassed: await fail(lease, .attemptTimeout)
        // The queue ends a cancelled job that is handed back as cancelled.
        case .cancelled, .shutdown:
            if await write(lease, { try await worker.release([lease]) }) { metrics.ended(.released) }
        }
    }

    /// Writes an outcome, again and again while the database is away: only the queue may decide that it is too late.
    ///
    /// A write that is repeated because its answer got lost finds the job settled and is refused by the fencing token:
    /// nothing is written twice.
    ///
    /// - Returns: Whether the queue took it.
    private func write(_ lease: Lease, _ outcome: () async throws -> [Settlement]) async -> Bool {
        var pause = Duration.milliseconds(100)
        while true {
            do {
                let isTaken = try await outcome().contains { $0.jobID == lease.jobID && !$0.isFenced }
                if !isTaken {
                    metrics.leaseLost()
                    metrics.ended(.fenced)
                    logger.notice("The job is no longer ours; nothing written.", metadata: lease.logged())
                }
                return isTaken
            } catch {
                metrics.databaseFailed()
                logger.warning(
                    "An outcome could not be written; trying again.",
                    metadata: lease.logged(with: ["error": "\(error)"]))
            }
            // Cancelled means that the process ends: the lease runs out and the job is run again elsewhere.
            guard (try? await Task.sleep(for: pause)) != nil else { return false }
            pause = min(pause * 2, .seconds(5))
        }
    }
}

extension Lease {
    /// What log lines about the job carry: the row's number and the attempt's token, as `deltakv.job_events` has them.
    fileprivate func logged(with more: Logger.Metadata = [:]) -> Logger.Metadata {
        more.merging(["job": "\(jobID)", "token": "\(token)"]) { given, _ in given }
    }
}

extension StatusCounters {
    func add(_ generation: Generation) {
        update {
            $0.completed += 1
            $0.promptTokens += generation.promptTokens
            $0.outputTokens += generation.outputTokens
        }
    }
}

extension JobPreparer.Input {
    init(_ job: ClaimedJob) {
        self.init(
            id: job.lease.jobID, tenant: job.tenant, template: job.template, document: job.document,
            variables: job.variables,
            options: job.options, templateSource: job.templateSource, messages: job.messages,
            submittedAt: job.submittedAt)
    }
}

extension JobResult {
    init(lease: Lease, _ generation: Generation, choices: String?) {
        self.init(
            lease: lease, output: generation.text, finishReason: generation.finishReason.rawValue,
            usage: JobUsage(
                promptTokens: generation.promptTokens, cachedTokens: generation.cachedTokens,
                secondsSaved: generation.secondsSaved, cacheMiss: generation.miss?.rawValue,
                outputTokens: generation.outputTokens, resumedTokens: generation.resumedTokens,
                prefillSeconds: generation.prefillSeconds, decodeSeconds: generation.decodeSeconds),
            choices: choices)
    }
}
