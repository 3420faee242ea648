// SPDX-License-Identifier: Apache-2.0
import Foundation
import PostgreSQL

/// One job with all that is known of it.
public struct JobDetail: Sendable {
    /// An error of one of its attempts.
    public struct AttemptError: Sendable {
        /// Which attempt it ended.
        public let attempt: Int
        /// When.
        public let occurredAt: Date
        /// What went wrong.
        public let error: JobError
    }

    /// Something that happened to it.
    public struct Event: Sendable {
        /// What, as `claimed` or `retried` (see `deltakv.job_events`).
        public let name: String
        /// When.
        public let occurredAt: Date
        /// The worker concerned.
        public let workerID: Int64?
        /// The attempt concerned.
        public let attempt: Int?
        /// The error's code, where an error was the reason.
        public let code: String?
    }

    /// State, usage, times.
    public let summary: JobSummary
    /// The document, as submitted.
    public let document: String?
    /// JSON text of the options, as submitted.
    public let options: String
    /// JSON text of the template's variables, as submitted.
    public let variables: String
    /// The result.
    public let output: String?
    /// The errors of its attempts, oldest first.
    public let errors: [AttemptError]
    /// What happened to it since it was submitted, oldest first.
    public let events: [Event]
}

extension JobQueue {
    /// One job with its texts, errors and events; nil where there is no such job.
    public func job(_ id: Int64) async throws -> JobDetail? {
        let found = try await client.idempotentQuery(
            """
            SELECT \(JobSummary.columns), r.output, j.document, j.options, j.variables
            FROM deltakv.results r JOIN deltakv.jobs j USING (job_id) WHERE r.job_id = $1
            """, [id])
        guard let row = try found.onlyRowIfAny() else { return nil }
        let errors = try await client.idempotentQuery(
            """
            SELECT attempt, occurred_at, code, message, detail FROM deltakv.job_errors
            WHERE job_id = $1 ORDER BY error_id
            """, [id])
        let events = try await client.idempotentQuery(
            """
            SELECT event, occurred_at, worker_id, attempt, code FROM deltakv.job_events
            WHERE job_id = $1 ORDER BY event_id
            """, [id])
        return JobDetail(
            summary: try JobSummary(row: row), document: try row.get("document"), options: try row.get("options"),
            variables: try row.get("variables"), output: try row.get("output"),
            errors: try errors.map(JobDetail.AttemptError.init(row:)),
            events: try events.map(JobDetail.Event.init(row:)))
    }
}

extension JobDetail.AttemptError {
    fileprivate init(row: PostgresRow) throws {
        self.init(
            attempt: try row.get("attempt"), occurredAt: try row.get("occurred_at"),
            error: JobError(code: try row.get("code"), message: try row.get("message"), detail: try row.get("detail")))
    }
}

extension JobDetail.Event {
    fileprivate init(row: PostgresRow) throws {
        self.init(
            name: try row.get("event"), occurredAt: try row.get("occurred_at"), workerID: try row.get("worker_id"),
            attempt: try row.get("attempt"), code: try row.get("code"))
    }
}
