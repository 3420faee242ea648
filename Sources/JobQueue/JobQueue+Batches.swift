// SPDX-License-Identifier: Apache-2.0
import Foundation
import PostgreSQL

/// What `deltakv.submit_many` made of one element.
public struct SubmissionAnswer: Sendable {
    /// The element's place in the array, from 1.
    public let place: Int
    /// The job; nil where none was made.
    public let jobID: Int64?
    /// What is wrong with it. A job that has an id too is stored, and has failed.
    public let error: JobError?
}

/// A job that has ended, as batch files have it.
public struct BatchResult: Sendable {
    /// The job.
    public let jobID: Int64
    /// The submitter's name for it.
    public let customID: String?
    /// The model that was asked for.
    public let model: String?
    /// The text generated; nil where the job did not complete.
    public let output: String?
    /// JSON text of all outputs, where several or log-probabilities were asked for.
    public let choices: String?
    /// Why the output ended.
    public let finishReason: String?
    /// Tokens of the prompt.
    public let promptTokens: Int
    /// How many of those came from a cache.
    public let cachedTokens: Int
    /// Tokens generated.
    public let outputTokens: Int
    /// The error that ended it; nil for completed and cancelled ones.
    public let error: JobError?
    /// When it ended.
    public let endedAt: Date
}

extension JobQueue {
    /// Submits an array of jobs, each for itself: what is wrong with one is in its answer.
    ///
    /// - Parameter json: JSON text of the array; an element has the names of `deltakv.submit`'s arguments.
    /// - Returns: An answer for each element, in their order.
    public func submitMany(json: String, batch: String, tenant: String? = nil) async throws -> [SubmissionAnswer] {
        let rows = try await client.query(
            """
            SELECT place, job_id, error_code, error_message
            FROM deltakv.submit_many($1::text::jsonb, batch => $2, tenant => $3) ORDER BY place
            """, [json, batch, tenant])
        return try rows.map { row in
            let error = try row.get("error_code", as: String?.self).map { code in
                JobError(code: code, message: try row.get("error_message"))
            }
            return SubmissionAnswer(place: try row.get("place"), jobID: try row.get("job_id"), error: error)
        }
    }

    /// The jobs of a batch that have ended, in the order of submission, a page at a time.
    ///
    /// - Parameters:
    ///   - batchID: ``BatchProgress/batchID``
    ///   - after: the last job of the page before; 0 for the first page
    public func batchResults(of batchID: Int64, after: Int64, limit: Int) async throws -> [BatchResult] {
        let rows = try await client.idempotentQuery(
            """
            SELECT job_id, custom_id, model, output, choices::text AS choices, finish_reason, prompt_tokens, cached_tokens,
                output_tokens, error_code, error_message, ended_at
            FROM deltakv.batch_page($1::integer, $2, $3::integer)
            """, [batchID, after, limit], prepared: true)
        return try rows.map(BatchResult.init(row:))
    }
}

extension BatchResult {
    init(row: PostgresRow) throws {
        jobID = try row.get("job_id")
        customID = try row.get("custom_id")
        model = try row.get("model")
        output = try row.get("output")
        choices = try row.get("choices")
        finishReason = try row.get("finish_reason")
        promptTokens = try row.get("prompt_tokens", as: Int?.self) ?? 0
        cachedTokens = try row.get("cached_tokens", as: Int?.self) ?? 0
        outputTokens = try row.get("output_tokens", as: Int?.self) ?? 0
        error = try row.get("error_code", as: String?.self).map { code in
            JobError(code: code, message: try row.get("error_message"))
        }
        endedAt = try row.get("ended_at")
    }
}
