// SPDX-License-Identifier: Apache-2.0

import Engine
import JobQueue
import Logging
import PostgreSQL

/// Runs one claimed job to its end and writes what came of it.
struct JobRunner: Sendable {
    let queue: JobQueue
    let engine: GenerationEngine
    let preparer: JobPreparer
    let active: ActiveJobs
    let counters: StatusCounters
    let logger: Logger

    /// What was done so far, the running jobs' progress included.
    var status: DaemonStatus {
        var status = counters.current
        let entries = active.all
        status.active = entries.count
        for progress in entries.compactMap({ engine.progress(of: $0.ticket) }) {
            status.promptTokens += progress.promptTokens
            status.outputTokens += progress.outputTokens
        }
        return status
    }

    /// A name for a job's request in the engine.
    func ticket() -> UInt64 { engine.ticket() }

    /// What the queue is told about a job under way.
    func heartbeat(for entry: ActiveJobs.Entry) -> JobHeartbeat {
        let progress = engine.progress(of: entry.ticket)
        return JobHeartbeat(
            lease: entry.lease, promptTokensDone: progress?.promptTokens ?? 0,
            outputTokensDone: progress?.outputTokens ?? 0)
    }

    /// Takes a job off the engine; its task then ends it according to the reason.
    func interrupt(_ jobID: Int64, _ reason: ActiveJobs.Interruption) {
        if let ticket = active.interrupt(jobID, reason) { engine.cancel(ticket) }
    }

    /// Runs a job that is in `active` and takes it out again when its outcome is written.
    ///
    /// - Parameter onDecoding: Is called when the prompt is done, and the engine could take another.
    func run(_ job: ClaimedJob, onDecoding: @escaping @Sendable () -> Void) async {
        defer { active.remove(job.lease.jobID) }
        guard let ticket = active.ticket(of: job.lease.jobID) else { return }
        do {
            let request = try preparer.request(for: job)
            let generation = try await engine.generate(request, ticket: ticket) { _ in
                if active.markDecoding(job.lease.jobID) { onDecoding() }
            }
            await write(job) { try await queue.complete([JobCompletion(lease: job.lease, generation)]) }
            counters.add(generation)
        } catch let error as JobError {
            await fail(job, error)
        } catch let error as GenerationError where error != .engineStopped {
            await fail(job, JobError(error))
        } catch {
            await end(job, after: active.interruption(of: job.lease.jobID) ?? .shutdown)
        }
    }

    private func fail(_ job: ClaimedJob, _ error: JobError) async {
        logger.info("Job failed.", metadata: ["job": "\(job.lease.jobID)", "code": "\(error.code.rawValue)"])
        counters.update { $0.failed += 1 }
        let failure = JobFailure(
            lease: job.lease, code: error.code.rawValue, message: error.message, isRetryable: error.isTransient)
        await write(job) { try await queue.fail([failure]) }
    }

    private func end(_ job: ClaimedJob, after interruption: ActiveJobs.Interruption) async {
        switch interruption {
        case .leaseLost:
            logger.notice("The lease went elsewhere; result dropped.", metadata: ["job": "\(job.lease.jobID)"])
        case .cancelled: await write(job) { try await queue.confirmCancelled([job.lease]) }
        case .shutdown: await write(job) { try await queue.release([job.lease]) }
        }
    }

    /// Writes an outcome, again and again while the database is away: only the queue may decide that it is too late.
    ///
    /// A write that was repeated because its answer got lost finds the job finished, and is refused by the fencing
    /// token: nothing is written twice.
    private func write(_ job: ClaimedJob, _ outcome: () async throws -> Set<Int64>) async {
        var pause = Duration.milliseconds(100)
        while true {
            do {
                if try await !outcome().contains(job.lease.jobID) {
                    logger.notice("The job is no longer ours; nothing written.", metadata: ["job": "\(job.lease.jobID)"])
                }
                return
            } catch {
                logger.warning(
                    "A result could not be written; trying again.",
                    metadata: ["job": "\(job.lease.jobID)", "error": "\(error)"])
            }
            // Cancelled means that the process ends: the lease runs out and the job is run again elsewhere.
            guard (try? await Task.sleep(for: pause)) != nil else { return }
            pause = min(pause * 2, .seconds(5))
        }
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
