// SPDX-License-Identifier: Apache-2.0
import PostgreSQL

/// One worker of the queue: claims jobs, keeps them, and settles them.
///
/// Every method is one statement, and so one transaction. They throw `PostgresError` and `CancellationError`; what was
/// sent when a connection broke is sent again where that does no harm. Settling methods answer for every job: a
/// ``Settlement`` with ``Settlement/isFenced`` says that the job is another's now, and that nothing was changed.
public struct JobWorker: Sendable {
    /// The worker's row in `deltakv.workers`.
    public let id: Int64
    private let client: PostgresClient

    init(id: Int64, client: PostgresClient) {
        self.id = id
        self.client = client
    }

    /// Starts waiting jobs: tenants take turns, and of each one's jobs larger priorities and older ones come first, jobs
    /// whose prompts begin alike together.
    ///
    /// A connection that breaks in between can leave jobs claimed that nobody runs; they are rescued when their lease
    /// ends.
    /// - Parameters:
    ///   - limit: jobs at most
    ///   - holding: jobs that the worker runs already: only one without any gets a job whose last worker died
    ///   - lease: how long the jobs are this worker's without a heartbeat
    ///   - attemptTimeout: how long an attempt may run; nil for no limit
    ///   - inputBytes: bytes of documents and variables at most, but always one job; nil for no limit
    ///   - prefixes: ``ClaimedJob/prefixKey`` of jobs whose beginnings the worker has at hand: others with them come first
    public func claim(
        _ limit: Int, holding: Int = 0, lease: Duration, attemptTimeout: Duration? = nil, inputBytes: Int? = nil,
        prefixes: [Int64] = []
    ) async throws -> [ClaimedJob] {
        guard limit > 0 else { return [] }
        let rows = try await client.query(
            """
            SELECT c.*, c.template_body ->> 'yaml' AS template_source FROM deltakv.claim_4(
                $1, $2::integer, $3::integer, make_interval(secs => $4), make_interval(secs => $5), $6, $7) c
            """,
            [
                id, Int32(clamping: holding), Int32(clamping: limit), lease.inSeconds, attemptTimeout?.inSeconds,
                inputBytes, prefixes,
            ], prepared: true)
        return try rows.map(ClaimedJob.init(row:))
    }

    /// Keeps jobs for another lease, notes how far they are, and says that the worker is alive. Call it at a third of
    /// the lease, also without jobs.
    /// - Returns: only the jobs that must be stopped
    public func heartbeat(_ running: [JobProgress], lease: Duration) async throws -> [HeartbeatSignal] {
        let rows = try await client.idempotentQuery(
            """
            SELECT job_id, signal FROM deltakv.heartbeat(
                $1, make_interval(secs => $2), $3, $4, $5::integer[], $6::integer[])
            """,
            [
                id, lease.inSeconds, running.map(\.lease.jobID), running.map(\.lease.token),
                running.map(\.promptTokens), running.map(\.outputTokens),
            ], prepared: true)
        return try rows.map {
            HeartbeatSignal(jobID: try $0.get("job_id"), reason: try $0.requiredWord("signal"))
        }
    }

    /// Writes results and ends their jobs. Each job completes once: a result that was already stored stays.
    public func complete(_ results: [JobResult]) async throws -> [Settlement] {
        try await settle(
            """
            SELECT job_id, state FROM deltakv.complete_2(
                $1, $2, $3, $4, $5, $6::integer[], $7::integer[], $8::integer[], $9, $10, $11::text[]::jsonb[], $12, $13,
                $14::integer[])
            """, results.map(\.lease),
            [
                results.map { $0.output.storable }, results.map { $0.finishReason.storable },
                results.map(\.usage.promptTokens), results.map(\.usage.cachedTokens),
                results.map(\.usage.outputTokens), results.map(\.usage.prefillSeconds),
                results.map(\.usage.decodeSeconds), results.map { $0.choices?.replacing("\\u0000", with: "\\ufffd") },
                results.map(\.usage.secondsSaved), results.map(\.usage.cacheMiss), results.map(\.usage.resumedTokens),
            ])
    }

    /// Reports errors. Retryable ones send their job back to wait, until its attempts are used up; others end it.
    public func fail(_ failures: [JobFailure]) async throws -> [Settlement] {
        try await settle(
            "SELECT job_id, state FROM deltakv.fail($1, $2, $3, $4, $5, $6::text[]::jsonb[], $7)",
            failures.map(\.lease),
            [
                failures.map { $0.error.code.storable }, failures.map { $0.error.message.storable },
                failures.map(\.error.detail), failures.map(\.isRetryable),
            ])
    }

    /// Hands jobs back unfinished, as before a shutdown: they may start again at once and the attempt is not counted.
    /// Jobs that were cancelled meanwhile end as cancelled.
    public func release(_ leases: [Lease]) async throws -> [Settlement] {
        try await settle("SELECT job_id, state FROM deltakv.release($1, $2, $3)", leases, [])
    }

    /// Notes what the worker did since the last call, for dashboards.
    public func report(_ load: WorkerLoad) async throws {
        try await client.query(
            """
            SELECT deltakv.report_load(
                $1, $2, $3::integer, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            """,
            [
                id, load.seconds, load.running, load.kvUsedBytes, load.kvBytes, load.residentBytes, load.promptTokens,
                load.outputTokens, load.prefillSeconds, load.decodeSeconds, load.steps, load.sequenceSteps,
            ], prepared: true)
    }

    /// Writes down how far outputs have come, for the next attempt where this one is cut short. Jobs whose lease is lost are passed
    /// over.
    public func save(_ checkpoints: [JobCheckpoint]) async throws {
        if checkpoints.isEmpty { return }
        try await client.idempotentQuery(
            "SELECT deltakv.save_checkpoints($1, $2, $3, $4)",
            [
                checkpoints.map(\.lease.jobID), checkpoints.map(\.lease.token), checkpoints.map(\.saved.fingerprint),
                checkpoints.map { "{" + $0.saved.output.map(String.init).joined(separator: ",") + "}" },
            ], prepared: true)
    }

    /// Says that the worker stopped in good order. Release its jobs first.
    public func retire() async throws {
        try await client.idempotentQuery("SELECT deltakv.retire_worker($1)", [id])
    }

    private func settle(
        _ sql: String, _ leases: [Lease], _ parameters: [any PostgresEncodable]
    ) async throws -> [Settlement] {
        if leases.isEmpty { return [] }
        let rows = try await client.idempotentQuery(
            sql, [id, leases.map(\.jobID), leases.map(\.token)] + parameters, prepared: true)
        return try rows.map(Settlement.init(row:))
    }
}

extension Settlement {
    init(row: PostgresRow) throws {
        self.init(jobID: try row.get("job_id"), state: try row.word("state"))
    }
}

extension String {
    /// The text with U+FFFD for each NUL: a model may generate one, and one output must not spoil the others' write.
    var storable: String {
        guard utf8.contains(0) else { return self }
        return String(String.UnicodeScalarView(unicodeScalars.map { $0.value == 0 ? "\u{FFFD}" : $0 }))
    }
}
