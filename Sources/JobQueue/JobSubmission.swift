// SPDX-License-Identifier: Apache-2.0
import Foundation
import PostgreSQL

/// A job to be submitted.
public struct JobSubmission: Sendable {
    /// Name of the template.
    public var template: String
    /// The document.
    public var document: String?
    /// The submitter's own name for the job, unique in its batch.
    public var customID: String?
    /// The batch, made when it does not exist.
    public var batch: String
    /// JSON text of overrides of the template's sampling and limits; where they are no good, the job fails at once.
    public var options: String
    /// JSON text of the template's variables.
    public var variables: String
    /// Larger numbers run first.
    public var priority: Int
    /// The earliest time to start; nil for now.
    public var runAt: Date?
    /// How often the job is tried before an error that may pass ends it, 1 to 100.
    public var maxAttempts: Int

    /// Makes a submission.
    public init(
        template: String, document: String? = nil, customID: String? = nil, batch: String = "default",
        options: String = "{}", variables: String = "{}", priority: Int = 0, runAt: Date? = nil, maxAttempts: Int = 3
    ) {
        self.template = template
        self.document = document
        self.customID = customID
        self.batch = batch
        self.options = options
        self.variables = variables
        self.priority = priority
        self.runAt = runAt
        self.maxAttempts = maxAttempts
    }
}

extension JobQueue {
    /// Jobs sent with one statement. Bounds what a statement holds in memory; all statements are one transaction.
    private static let submissionsPerStatement = 500

    /// Submits jobs, all of them or none.
    ///
    /// A job whose `customID` is in its batch already, with the same inputs, is not made again.
    /// - Returns: the jobs' ids, in the order given
    /// - Throws: `JobQueueError.nulInText`; `PostgresError` with `sqlState` 23505 when a `customID` is taken by a job
    ///   with other inputs, 22023 when `maxAttempts` is out of range, 22P02 when options or variables are not JSON
    @discardableResult
    public func submit(_ jobs: [JobSubmission]) async throws -> [Int64] {
        for (index, job) in jobs.enumerated() { try job.checkStorable(index: index) }
        return try await client.transaction { transaction in
            var ids: [Int64] = []
            ids.reserveCapacity(jobs.count)
            for start in stride(from: 0, to: jobs.count, by: Self.submissionsPerStatement) {
                let chunk = jobs[start..<min(start + Self.submissionsPerStatement, jobs.count)]
                let rows = try await transaction.query(Self.submitSQL, Self.parameters(for: chunk))
                for row in rows { ids.append(try row.get("id")) }
            }
            return ids
        }
    }

    private static let submitSQL = """
        SELECT deltakv.submit(
            s.template, document => s.document, custom_id => s.custom_id, batch => s.batch,
            options => s.options, variables => s.variables, priority => s.priority, run_at => to_timestamp(s.run_at),
            max_attempts => s.max_attempts) AS id
        FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::text[], $5::text[]::jsonb[], $6::text[]::jsonb[], $7::integer[],
            $8, $9::integer[]
        ) WITH ORDINALITY AS s (
            template, document, custom_id, batch, options, variables, priority, run_at, max_attempts, place)
        ORDER BY s.place
        """

    private static func parameters(for jobs: ArraySlice<JobSubmission>) -> [any PostgresEncodable] {
        [
            jobs.map(\.template), jobs.map(\.document), jobs.map(\.customID), jobs.map(\.batch), jobs.map(\.options),
            jobs.map(\.variables), jobs.map(\.priority), jobs.map { $0.runAt?.timeIntervalSince1970 },
            jobs.map(\.maxAttempts),
        ]
    }
}

extension JobSubmission {
    fileprivate func checkStorable(index: Int) throws {
        let fields: KeyValuePairs<String, String?> = [
            "template": template, "document": document, "custom_id": customID, "batch": batch, "options": options,
            "variables": variables,
        ]
        for (name, text) in fields where text?.utf8.contains(0) == true {
            throw JobQueueError.nulInText(index: index, field: name)
        }
    }
}
