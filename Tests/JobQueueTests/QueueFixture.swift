// SPDX-License-Identifier: Apache-2.0
import Database
import Foundation
import JobQueue
import Logging
import PostgreSQL
import TestSupport
import Testing

/// A migrated database of its own, and the handles that tests need.
struct QueueFixture: Sendable {
    let client: PostgresClient
    let queue: JobQueue

    func worker() async throws -> JobWorker {
        try await queue.register(host: "test", processID: 1, version: "0")
    }

    /// Submits jobs with documents "document 0", "document 1"…
    @discardableResult
    func submit(
        _ count: Int, batch: String = "b", priority: Int = 0, maxAttempts: Int = 3, runAt: Date? = nil
    ) async throws -> [Int64] {
        try await queue.submit(
            (0..<count).map {
                JobSubmission(
                    template: "summarize", document: "document \($0)", batch: batch, priority: priority, runAt: runAt,
                    maxAttempts: maxAttempts)
            })
    }

    /// Submits one job and has `worker` claim it.
    func claimOne(_ worker: JobWorker, maxAttempts: Int = 3) async throws -> ClaimedJob {
        try await submit(1, maxAttempts: maxAttempts)
        return try #require(try await worker.claim(1, lease: .seconds(60)).first)
    }

    /// Lets the lease on a job run out.
    func expireLease(of job: Int64) async throws {
        try await client.query(
            "UPDATE deltakv.queue SET lease_expires_at = now() - interval '1 second' WHERE job_id = $1 AND state = 'running'",
            [job])
    }

    /// Lets a running job's attempt pass its deadline.
    func passDeadline(of job: Int64) async throws {
        try await client.query(
            "UPDATE deltakv.queue SET attempt_deadline = now() - interval '1 second' WHERE job_id = $1 AND state = 'running'",
            [job])
    }

    /// Lets the time come at which a waiting job may start.
    func makeDue(_ job: Int64) async throws {
        try await client.query(
            "UPDATE deltakv.queue SET run_at = now() - interval '1 second' WHERE job_id = $1", [job])
    }

    func state(of job: Int64) async throws -> JobState? { try await queue.job(job)?.summary.state }

    func integer(_ sql: String, _ parameters: [any PostgresEncodable] = []) async throws -> Int {
        try await client.query(sql, parameters).onlyRow().get(0)
    }

    /// Counters and record must always agree, and every job be in exactly one of queue and outcomes.
    func inconsistencies() async throws -> Int {
        try await integer(
            """
            SELECT (
                SELECT count(*) FROM (
                    SELECT batch_id, sum(completed), sum(failed), sum(cancelled), sum(prompt_tokens), sum(cached_tokens),
                        sum(output_tokens), sum(scheduled), sum(available), sum(running), sum(retryable)
                    FROM deltakv.batch_counts GROUP BY batch_id
                    EXCEPT
                    SELECT b.batch_id, count(completed_at), count(failed_at), count(cancelled_at),
                        coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0),
                        coalesce(sum(output_tokens), 0), max(q.scheduled), max(q.available), max(q.running), max(q.retryable)
                    FROM deltakv.batches b LEFT JOIN deltakv.outcomes o USING (batch_id)
                    CROSS JOIN LATERAL (
                        SELECT count(scheduled_at) AS scheduled, count(available_at) AS available,
                            count(running_at) AS running, count(retryable_at) AS retryable
                        FROM deltakv.queue u WHERE u.batch_id = b.batch_id) q
                    GROUP BY b.batch_id
                ) c
            ) + (
                SELECT count(*) FROM deltakv.jobs j
                LEFT JOIN deltakv.queue q USING (job_id) LEFT JOIN deltakv.outcomes o USING (job_id)
                WHERE num_nonnulls(q.job_id, o.job_id) <> 1
            ) + (
                SELECT count(*) FROM (
                    SELECT batch_id, count(*) FROM deltakv.jobs GROUP BY batch_id
                    EXCEPT SELECT batch_id, total FROM deltakv.batch_progress
                ) t
            )
            """)
    }
}

extension JobResult {
    /// A result with 10 prompt tokens, 4 of them cached, and 2 output tokens.
    init(_ lease: Lease, output: String = "text") {
        self.init(
            lease: lease, output: output, finishReason: "stop",
            usage: JobUsage(
                promptTokens: 10, cachedTokens: 4, outputTokens: 2, prefillSeconds: 0.5, decodeSeconds: 0.25))
    }
}

extension JobFailure {
    /// A failure with the code `test`.
    init(_ lease: Lease, retryable: Bool) {
        self.init(
            lease: lease, error: JobError(code: "test", message: "it went wrong", detail: "{\"limit\": 3}"),
            isRetryable: retryable)
    }
}

private let migrations = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Migrations")

/// Runs `body` with a queue in a database of its own.
func withQueue(connections: Int = 4, _ body: (QueueFixture) async throws -> Void) async throws {
    try await withTestDatabase { settings in
        var logger = Logger(label: "test")
        logger.logLevel = .error
        let client = PostgresClient(settings, size: connections, logger: logger)
        _ = try await Migrator(directory: migrations.path, logger: logger).migrate(settings)
        try await body(QueueFixture(client: client, queue: JobQueue(client: client)))
        await client.close()
    }
}
