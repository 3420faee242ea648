// SPDX-License-Identifier: Apache-2.0
import PostgreSQL

extension JobQueue {
    /// The beginnings of the documents of the first jobs, oldest first: what users of this queue work on.
    ///
    /// The reader needs the right to read `deltakv.jobs`.
    ///
    /// - Parameters:
    ///   - count: How many at most.
    ///   - characters: Of each at most.
    public func firstDocuments(_ count: Int = 40, characters: Int = 40_000) async throws -> [String] {
        try await client.idempotentQuery(
            """
            SELECT left(document, $2::integer) AS document FROM deltakv.jobs
            WHERE document IS NOT NULL ORDER BY job_id LIMIT $1::integer
            """, [count, characters]
        ).map { try $0.get("document") }
    }
}
