// SPDX-License-Identifier: Apache-2.0

import Database
import Foundation
import JobQueue
import ModelFiles
import PostgreSQL
import TestSupport
import Testing

@testable import BatchFiles

/// Files in, jobs done by a worker without a model, files out.
@Suite(.serialized) struct ImportExportTests {
    private static let migrations = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Migrations").path

    private func withQueue(_ body: (JobQueue, PostgresClient) async throws -> Void) async throws {
        try await withTestDatabase { settings in
            _ = try await Migrator(directory: Self.migrations, logger: quietLogger).migrate(settings)
            let client = PostgresClient(settings, logger: quietLogger)
            try await body(JobQueue(client: client), client)
            await client.close()
        }
    }

    private func request(_ id: String, _ options: String = "") -> String {
        #"{"custom_id": "\#(id)", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": "#
            + #"[{"role": "user", "content": "question \#(id)"}]\#(options)}}"#
    }

    /// Completes what may run, fails every seventh.
    private func work(_ queue: JobQueue) async throws {
        let worker = try await queue.register(host: "test", processID: 1, version: "0")
        while case let jobs = try await worker.claim(50, lease: .seconds(60)), !jobs.isEmpty {
            for job in jobs {
                if job.lease.jobID % 7 == 0 {
                    let error = JobError(code: "document_too_long", message: "too long")
                    _ = try await worker.fail([JobFailure(lease: job.lease, error: error, isRetryable: false)])
                    continue
                }
                let usage = JobUsage(
                    promptTokens: 12, cachedTokens: 4, outputTokens: 3, prefillSeconds: 0.1, decodeSeconds: 0.1)
                _ = try await worker.complete([
                    JobResult(
                        lease: job.lease, output: "answer \(job.customID ?? "")", finishReason: "stop", usage: usage)
                ])
            }
        }
    }

    private func objects(_ path: String) throws -> [JSONValue] {
        try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map {
            try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8))
        }
    }

    private func folder() throws -> String {
        let path = NSTemporaryDirectory() + "deltakv-batch-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    @Test func badLinesAreNamedAndTheOthersGoIn() async throws {
        try await withQueue { queue, client in
            let lines = [
                request("1"), "", "{", request("2", #", "temperature": 900"#), request("3", #", "audio": {}"#), "  \r",
                request("1", #", "max_tokens": 5"#), request("4"),
            ]
            let path = try temporaryFile(Data(lines.joined(separator: "\n").utf8))
            let report = try await BatchImport(queue: queue, batch: "b").run(path: path)
            #expect(report.total == 6)
            #expect(report.submitted == 3)
            #expect(report.rejected == 1)
            #expect(report.failed == 3)
            #expect(report.errors.map(\.line) == [3, 5, 7])
            #expect(
                report.errors.map(\.code) == ["invalid_json_line", "unsupported_parameter", "custom_id_taken"])
            // Run again, it finds everything there.
            let again = try await BatchImport(queue: queue, batch: "b").run(path: path)
            #expect(again.submitted == 3)
            #expect(try await client.query("SELECT count(*) FROM deltakv.jobs").onlyRow().get(0, as: Int.self) == 3)
        }
    }

    @Test func limitsHoldBeforeAnythingIsSubmitted() async throws {
        try await withQueue { queue, client in
            let path = try temporaryFile(Data((1...11).map { request("\($0)") }.joined(separator: "\n").utf8))
            var limits = BatchImport.Limits()
            #expect(limits.lines == 50_000 && limits.bytes == 200_000_000)
            limits.lines = 10
            await #expect(throws: BatchFileError.tooManyLines(count: 11, limit: 10)) {
                try await BatchImport(queue: queue, batch: "b", limits: limits).run(path: path)
            }
            limits = BatchImport.Limits()
            limits.bytes = 100
            await #expect(throws: BatchFileError.self) {
                try await BatchImport(queue: queue, batch: "b", limits: limits).run(path: path)
            }
            #expect(try await client.query("SELECT count(*) FROM deltakv.jobs").onlyRow().get(0, as: Int.self) == 0)
        }
    }

    @Test func anExportThatWasInterruptedGoesOn() async throws {
        try await withQueue { queue, client in
            struct Interruption: Error {}
            let folder = try folder()
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let input = try temporaryFile(
                Data((1...900).map { request("\($0)", $0 % 10 == 0 ? #", "n": 0"# : "") }.joined(separator: "\n").utf8))
            let report = try await BatchImport(queue: queue, batch: "b").run(path: input)
            #expect(report.submitted == 900 && report.rejected == 90)
            func export(_ name: String) -> BatchExport {
                BatchExport(queue: queue, batch: "b", output: "\(folder)/\(name)", errors: "\(folder)/\(name).errors")
            }
            await #expect(throws: BatchFileError.unfinished("b", jobs: 810)) { try await export("early").run() }
            #expect(try await BatchState.find("b", in: queue).status == "in_progress")
            _ = try await export("early").run(soFar: true)
            #expect(try objects("\(folder)/early").isEmpty)
            #expect(try objects("\(folder)/early.errors").count == 90)
            try await work(queue)

            let state = try await export("whole").run()
            #expect(state.status == "completed" && state.requestCounts.total == 900)
            // Interrupted after each page, and with half a line behind what is noted.
            for _ in 0..<4 {
                await #expect(throws: Interruption.self) { try await export("parts").run { _ in throw Interruption() } }
                for name in ["parts", "parts.errors"] {
                    let handle = try #require(FileHandle(forWritingAtPath: "\(folder)/\(name)"))
                    try handle.seekToEnd()
                    try handle.write(contentsOf: Data("{\"id\": \"batch".utf8))
                }
            }
            #expect(FileManager.default.fileExists(atPath: "\(folder)/parts.progress"))
            _ = try await export("parts").run()
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/parts.progress"))
            for name in ["", ".errors"] {
                #expect(
                    FileManager.default.contentsEqual(
                        atPath: "\(folder)/whole\(name)", andPath: "\(folder)/parts\(name)"))
            }
            let outputs = try objects("\(folder)/whole"), errors = try objects("\(folder)/whole.errors")
            #expect(outputs.count + errors.count == 900)
            #expect(outputs.count == state.requestCounts.completed && errors.count == state.requestCounts.failed)
            let names = (outputs + errors).compactMap { $0["custom_id"]?.text }
            #expect(Set(names) == Set((1...900).map(String.init)))
            try checkShapes(outputs: outputs, errors: errors)
            _ = client
        }
    }

    private func checkShapes(outputs: [JSONValue], errors: [JSONValue]) throws {
        for line in outputs {
            let id = try #require(line["custom_id"]?.text)
            let response = try #require(line["response"])
            #expect(line["error"] == .null && response["status_code"] == .integer(200))
            let body = try #require(response["body"])
            #expect(body["object"] == .string("chat.completion") && body["model"] == .string("m"))
            let choice = try #require(body["choices"]?.elements?.first)
            #expect(choice["message"] == JSONValue(["role": .string("assistant"), "content": .string("answer \(id)")]))
            #expect(choice["finish_reason"] == .string("stop") && choice["index"] == .integer(0))
            #expect(
                body["usage"]
                    == JSONValue([
                        "prompt_tokens": .integer(12), "completion_tokens": .integer(3), "total_tokens": .integer(15),
                        "prompt_tokens_details": JSONValue(["cached_tokens": .integer(4)]),
                    ]))
        }
        for line in errors {
            #expect(line["response"] == .null)
            let code = line["error"]?["code"]?.text
            #expect(code == "document_too_long" || code == "invalid_options")
        }
    }

    @Test func cancelledAndExpiredRequestsAreErrors() async throws {
        try await withQueue { queue, client in
            let folder = try folder()
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let input = try temporaryFile(Data((request("kept") + "\n" + request("cancelled")).utf8))
            _ = try await BatchImport(queue: queue, batch: "b").run(path: input)
            try await client.script(
                """
                SELECT deltakv.cancel(job_id => job_id) FROM deltakv.results WHERE custom_id = 'cancelled';
                SELECT deltakv.submit('t', custom_id => 'late', batch => 'b', deadline => now())
                """)
            try await work(queue)
            let state = try await BatchExport(
                queue: queue, batch: "b", output: "\(folder)/o", errors: "\(folder)/e"
            ).run()
            #expect(state.status == "cancelled" && state.cancelledAt != nil && state.completedAt == nil)
            let codes = try objects("\(folder)/e").map {
                "\($0["custom_id"]?.text ?? "") \($0["error"]?["code"]?.text ?? "")"
            }
            #expect(codes == ["cancelled batch_cancelled", "late batch_expired"])
            await #expect(throws: BatchFileError.noBatch("c")) { try await BatchState.find("c", in: queue) }
        }
    }
}
