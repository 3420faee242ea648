// SPDX-License-Identifier: Apache-2.0

import Foundation
import JobQueue
import ModelFiles

/// What an import came to.
public struct ImportReport: Sendable, Hashable, Codable {
    /// Lines that are requests, good or bad.
    public var total = 0
    /// Requests that the queue has now, those from an earlier run of the same import included.
    public var submitted = 0
    /// Requests that the queue has and that failed at once, such as for an option out of range: the error file has them.
    public var rejected = 0
    /// Lines that are not in the queue.
    public var failed = 0
    /// What is wrong with those, the first thousand.
    public var errors: [LineFault] = []
}

/// Submits an input file as a batch, a few hundred lines at a time.
///
/// It may be interrupted at any time and run again: a custom_id that is in the batch already, with the same request, is not
/// submitted twice.
public struct BatchImport: Sendable {
    /// What an input file may have. The defaults are the API's.
    public struct Limits: Sendable, Hashable {
        /// Requests of a batch.
        public var lines = 50_000
        /// Bytes of a file.
        public var bytes = 200_000_000

        /// The API's limits.
        public init() {}
    }

    private static let linesPerStatement = 500
    private static let bytesPerStatement = 8 << 20
    private static let maxLineBytes = 64 << 20
    private static let errorsKept = 1000

    let queue: JobQueue
    let batch: String
    let tenant: String?
    let limits: Limits

    /// An import into a batch, which is made when it does not exist.
    public init(queue: JobQueue, batch: String, tenant: String? = nil, limits: Limits = Limits()) {
        self.queue = queue
        self.batch = batch
        self.tenant = tenant
        self.limits = limits
    }

    /// Submits all lines that are good.
    ///
    /// - Parameter onProgress: Is told how far it is after each statement.
    /// - Throws: ``BatchFileError`` before anything is submitted; `PostgresError`.
    public func run(path: String, onProgress: (ImportReport) -> Void = { _ in }) async throws -> ImportReport {
        let (lines, bytes) = try LineReader.measure(path: path)
        guard bytes <= limits.bytes else { throw BatchFileError.tooManyBytes(count: bytes, limit: limits.bytes) }
        guard lines <= limits.lines else { throw BatchFileError.tooManyLines(count: lines, limit: limits.lines) }
        var reader = try LineReader(path: path, maxLineBytes: Self.maxLineBytes)
        var report = ImportReport()
        var pending: [(line: Int, job: JSONValue)] = []
        var pendingBytes = 0
        while let line = try reader.next() {
            guard let (job, size) = read(line, number: reader.number, &report) else { continue }
            pending.append((reader.number, job))
            pendingBytes += size
            if pending.count >= Self.linesPerStatement || pendingBytes >= Self.bytesPerStatement {
                try await submit(pending, &report)
                onProgress(report)
                (pending, pendingBytes) = ([], 0)
            }
        }
        try await submit(pending, &report)
        onProgress(report)
        return report
    }

    private func read(_ line: LineReader.Line, number: Int, _ report: inout ImportReport) -> (JSONValue, Int)? {
        guard case .text(let data) = line else {
            report.total += 1
            note(LineFault("line_too_long", "the line has more than \(Self.maxLineBytes) bytes", line: number), &report)
            return nil
        }
        guard data.contains(where: { !" \t\r".utf8.contains($0) }) else { return nil }
        report.total += 1
        do {
            return (try RequestLine(data).job, data.count)
        } catch {
            var fault = error
            fault.line = number
            note(fault, &report)
            return nil
        }
    }

    private func submit(_ jobs: [(line: Int, job: JSONValue)], _ report: inout ImportReport) async throws {
        if jobs.isEmpty { return }
        let json = String(decoding: try JSONEncoder().encode(jobs.map(\.job)), as: UTF8.self)
        for answer in try await queue.submitMany(json: json, batch: batch, tenant: tenant) {
            if answer.jobID != nil {
                report.submitted += 1
                if answer.error != nil { report.rejected += 1 }
            } else if let error = answer.error {
                note(LineFault(error.code, error.message, line: jobs[answer.place - 1].line), &report)
            }
        }
    }

    private func note(_ fault: LineFault, _ report: inout ImportReport) {
        report.failed += 1
        if report.errors.count < Self.errorsKept { report.errors.append(fault) }
    }
}
