// SPDX-License-Identifier: Apache-2.0

import Foundation
import JobQueue

/// Writes what became of a batch's requests: those completed to an output file, the others to an error file.
///
/// Results are read a page at a time, in the order of submission. After each page both files are synchronised and a third one,
/// `OUTPUT.progress`, says how far they are good: an export that was interrupted goes on from there.
public struct BatchExport: Sendable {
    private static let pageRows = 200

    let queue: JobQueue
    let batch: String
    let tenant: String?
    let output: String
    let errors: String

    /// An export of a batch to two files.
    public init(queue: JobQueue, batch: String, tenant: String? = nil, output: String, errors: String) {
        self.queue = queue
        self.batch = batch
        self.tenant = tenant
        self.output = output
        self.errors = errors
    }

    /// Writes the files.
    ///
    /// - Parameter soFar: Writes what has ended of a batch that has not; such an export begins anew each time.
    /// - Returns: How the batch stands.
    /// - Throws: ``BatchFileError``; `PostgresError`.
    public func run(soFar: Bool = false, onPage: (_ lines: Int) throws -> Void = { _ in }) async throws -> BatchState {
        let progress = try await BatchState.progress(of: batch, tenant: tenant, in: queue)
        guard soFar || progress.finished == progress.total else {
            throw BatchFileError.unfinished(batch, jobs: progress.total - progress.finished)
        }
        var files = try ExportFiles(
            output: output, errors: errors, batchID: progress.batchID, ended: progress.lastFinishedAt, resumes: !soFar)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var lines = 0
        while case let page = try await queue.batchResults(
            of: progress.batchID, after: files.position, limit: Self.pageRows), let last = page.last
        {
            for result in page {
                let line = try ResultLine(result)
                files.add(try encoder.encode(line), isOutput: line.isOutput)
            }
            try files.commit(position: last.jobID)
            lines += page.count
            try onPage(lines)
        }
        try files.finish()
        var state = BatchState(progress)
        state.outputFileID = output
        state.errorFileID = errors
        return state
    }
}
