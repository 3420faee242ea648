// SPDX-License-Identifier: Apache-2.0
import PostgreSQL

/// How the whole queue stands, of all tenants.
public struct QueueSummary: Sendable, Equatable {
    /// Jobs that have not ended, by state.
    public let unfinished: [JobState: Int]
    /// How long ago the oldest job that could start now was submitted; nil where none waits.
    public let oldestSeconds: Double?
}

extension JobQueue {
    /// Counts the queue's jobs, at a cost that does not depend on how many there are.
    public func summary() async throws -> QueueSummary {
        let row = try await client.idempotentQuery(
            """
            SELECT scheduled::bigint, available::bigint, running::bigint, retryable::bigint, oldest_seconds
            FROM deltakv.dashboard_queue
            """, prepared: true
        ).onlyRow()
        let states: [JobState] = [.scheduled, .available, .running, .retryable]
        var unfinished: [JobState: Int] = [:]
        for state in states { unfinished[state] = try row.get(state.rawValue) }
        return QueueSummary(unfinished: unfinished, oldestSeconds: try row.get("oldest_seconds"))
    }
}
