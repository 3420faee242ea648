// SPDX-License-Identifier: Apache-2.0
import Foundation
import PostgreSQL

/// A job as a listing shows it, without its texts.
public struct JobSummary: Sendable {
    /// The job.
    public let id: Int64
    /// Its batch.
    public let batch: String
    /// Who submitted it.
    public let tenant: String
    /// The submitter's name for it.
    public let customID: String?
    /// Name of the template.
    public let template: String
    /// Where it stands.
    public let state: JobState
    /// Larger numbers run first.
    public let priority: Int
    /// Attempts counted so far.
    public let attempts: Int
    /// How many attempts it has.
    public let maxAttempts: Int
    /// Who runs it, or made the last attempt.
    public let workerID: Int64?
    /// Tokens of the prompt; of a running job, those done.
    public let promptTokens: Int?
    /// How many of the prompt's tokens came from a cache.
    public let cachedTokens: Int?
    /// Seconds that these had cost when they were computed.
    public let secondsSaved: Double?
    /// Why the first part of the prompt that might have been cached was not found.
    public let cacheMiss: String?
    /// Tokens generated, by a running job so far.
    public let outputTokens: Int?
    /// How many of those an attempt before the last had generated.
    public let resumedTokens: Int?
    /// Seconds spent on the prompt.
    public let prefillSeconds: Double?
    /// Seconds spent on output.
    public let decodeSeconds: Double?
    /// Why the output ended.
    public let finishReason: String?
    /// The error that ended it.
    public let error: JobError?
    /// When it was submitted.
    public let submittedAt: Date
    /// When it may start, or may start again.
    public let runAt: Date
    /// When its last attempt began.
    public let startedAt: Date?
    /// When it ended, in whatever way.
    public let finishedAt: Date?
    /// When somebody cancelled it while it ran; it ends when its worker notices.
    public let cancelRequestedAt: Date?

    static let columns = """
        r.job_id, r.batch, r.tenant, r.custom_id, r.template, r.state, r.priority, r.attempts, r.max_attempts, \
        r.worker_id, r.prompt_tokens, r.cached_tokens, r.output_tokens, r.prefill_seconds, r.decode_seconds, \
        r.finish_reason, r.error_code, r.error_message, r.error_detail, r.submitted_at, r.run_at, r.started_at, \
        coalesce(r.completed_at, r.failed_at, r.cancelled_at) AS finished_at, r.cancel_requested_at, r.seconds_saved, \
        r.cache_miss, r.resumed_tokens
        """

    init(row: PostgresRow) throws {
        id = try row.get("job_id")
        batch = try row.get("batch")
        tenant = try row.get("tenant")
        customID = try row.get("custom_id")
        template = try row.get("template")
        state = try row.requiredWord("state")
        priority = try row.get("priority")
        attempts = try row.get("attempts")
        maxAttempts = try row.get("max_attempts")
        workerID = try row.get("worker_id")
        promptTokens = try row.get("prompt_tokens")
        cachedTokens = try row.get("cached_tokens")
        outputTokens = try row.get("output_tokens")
        prefillSeconds = try row.get("prefill_seconds")
        decodeSeconds = try row.get("decode_seconds")
        finishReason = try row.get("finish_reason")
        error = try row.get("error_code", as: String?.self).map { code in
            JobError(code: code, message: try row.get("error_message"), detail: try row.get("error_detail"))
        }
        submittedAt = try row.get("submitted_at")
        runAt = try row.get("run_at")
        startedAt = try row.get("started_at")
        finishedAt = try row.get("finished_at")
        cancelRequestedAt = try row.get("cancel_requested_at")
        secondsSaved = try row.get("seconds_saved")
        cacheMiss = try row.get("cache_miss")
        resumedTokens = try row.get("resumed_tokens")
    }
}

extension JobQueue {
    /// Lists jobs, newest first.
    ///
    /// - Parameters:
    ///   - batch: only jobs of this batch
    ///   - state: only jobs in this state
    ///   - before: only jobs older than this one: the last of the page before
    ///   - limit: jobs at most
    public func jobs(
        batch: String? = nil, state: JobState? = nil, before: Int64? = nil, limit: Int = 100
    ) async throws -> [JobSummary] {
        let rows = try await client.idempotentQuery(
            """
            SELECT \(JobSummary.columns) FROM deltakv.results r
            WHERE ($1::text IS NULL OR r.batch = $1) AND ($2::deltakv.job_state IS NULL OR r.state = $2)
                AND ($3::bigint IS NULL OR r.job_id < $3)
            ORDER BY r.job_id DESC LIMIT $4
            """, [batch, state?.rawValue, before, max(0, limit)])
        return try rows.map(JobSummary.init(row:))
    }
}
