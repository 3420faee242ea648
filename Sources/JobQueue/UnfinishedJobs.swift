// SPDX-License-Identifier: Apache-2.0
import Foundation
import PostgreSQL

/// How many jobs have not ended, wherever they wait or run.
public struct UnfinishedJobs: Sendable, Hashable {
    /// Jobs that wait for their time.
    public let scheduled: Int
    /// Jobs that may start.
    public let available: Int
    /// Jobs that some worker holds.
    public let running: Int
    /// Jobs that wait to be tried again.
    public let retryable: Int
    /// When the next scheduled or retryable job is due.
    public let nextRunAt: Date?

    /// All of them. Zero means that nothing is left to run, now or later.
    public var total: Int { scheduled + available + running + retryable }
}

extension JobQueue {
    /// Counts the jobs of a batch that have not ended, or those of all batches.
    public func unfinished(batch: String? = nil, tenant: String? = nil) async throws -> UnfinishedJobs {
        let found = try await client.idempotentQuery("SELECT * FROM deltakv.unfinished($1, $2)", [batch, tenant])
        let row = try found.onlyRow()
        return UnfinishedJobs(
            scheduled: try row.get("scheduled"), available: try row.get("available"), running: try row.get("running"),
            retryable: try row.get("retryable"), nextRunAt: try row.get("next_run_at"))
    }
}
