// SPDX-License-Identifier: Apache-2.0

import Foundation
import JobQueue

/// A batch as the API's batch object has it.
public struct BatchState: Sendable, Hashable, Codable {
    /// Requests by how they ended.
    public struct RequestCounts: Sendable, Hashable, Codable {
        /// All of them.
        public var total: Int
        /// With a result.
        public var completed: Int
        /// Without: failed and cancelled ones.
        public var failed: Int
    }

    /// `batch_` and the batch's number.
    public let id: String
    /// Always `batch`.
    public let object: String
    /// The endpoint of its requests.
    public let endpoint: String
    /// `in_progress`, `completed`, `failed` (no request completed) or `cancelled` (some were).
    public let status: String
    /// Seconds since 1970 when its first job was submitted.
    public let createdAt: Int
    /// When its first job started.
    public let inProgressAt: Int?
    /// When its last job ended.
    public let completedAt: Int?
    /// The same, where it failed.
    public let failedAt: Int?
    /// The same, where it was cancelled.
    public let cancelledAt: Int?
    /// How its requests stand.
    public let requestCounts: RequestCounts
    /// The output file, once it is written.
    public var outputFileID: String?
    /// The error file, once it is written.
    public var errorFileID: String?

    enum CodingKeys: String, CodingKey {
        case id, object, endpoint, status
        case createdAt = "created_at"
        case inProgressAt = "in_progress_at"
        case completedAt = "completed_at"
        case failedAt = "failed_at"
        case cancelledAt = "cancelled_at"
        case requestCounts = "request_counts"
        case outputFileID = "output_file_id"
        case errorFileID = "error_file_id"
    }

    init(_ progress: BatchProgress) {
        let completed = progress.counts[.completed] ?? 0, cancelled = progress.counts[.cancelled] ?? 0
        let status =
            if progress.finished < progress.total {
                "in_progress"
            } else if cancelled > 0 {
                "cancelled"
            } else if completed == 0, progress.total > 0 {
                "failed"
            } else {
                "completed"
            }
        let ended = progress.lastFinishedAt.map { Int($0.timeIntervalSince1970) }
        id = "batch_\(progress.batchID)"
        object = "batch"
        endpoint = RequestLine.endpoint
        self.status = status
        createdAt = Int(progress.createdAt.timeIntervalSince1970)
        inProgressAt = progress.firstStartedAt.map { Int($0.timeIntervalSince1970) }
        completedAt = status == "completed" ? ended : nil
        failedAt = status == "failed" ? ended : nil
        cancelledAt = status == "cancelled" ? ended : nil
        requestCounts = RequestCounts(
            total: progress.total, completed: completed, failed: progress.finished - completed)
    }
}

extension BatchState {
    /// The batch of a name.
    ///
    /// - Throws: ``BatchFileError`` where there is none, or several and no tenant is given; `PostgresError`.
    public static func find(_ name: String, tenant: String? = nil, in queue: JobQueue) async throws -> BatchState {
        BatchState(try await progress(of: name, tenant: tenant, in: queue))
    }

    static func progress(of name: String, tenant: String?, in queue: JobQueue) async throws -> BatchProgress {
        let found = try await queue.progress(batch: name).filter { tenant == nil || $0.tenant == tenant }
        guard let first = found.first else { throw BatchFileError.noBatch(name) }
        guard found.count == 1 else { throw BatchFileError.severalTenants(name, found.map(\.tenant).sorted()) }
        return first
    }
}
