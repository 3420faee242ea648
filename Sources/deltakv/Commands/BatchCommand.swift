// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import BatchFiles
import Database
import Foundation
import JobQueue

/// `deltakv batch`: files of OpenAI's batch API in and out.
struct BatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "batch", abstract: "Import and export files of OpenAI's batch API.",
        discussion: """
            An input file has a line for each request: {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions",
            "body": {"model": "any", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}}. Whatever model a
            line names, the daemon's own answers. Run an import or an export that was interrupted again: it goes on.
            """,
        subcommands: [Import.self, Export.self, Status.self])

    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Submit the requests of a file as a batch.",
            discussion:
                "Lines that are wrong are named and left out; the exit code is then 1, and the others are submitted.")

        @Argument(help: "The input file.")
        var file: String

        @Option(help: ArgumentHelp("The batch.", valueName: "name"))
        var batch: String

        @Option(help: ArgumentHelp("Whose jobs they are; you, unless given.", valueName: "role"))
        var tenant: String?

        @Option(help: ArgumentHelp("Requests that a file may have.", valueName: "n"))
        var maxLines = BatchImport.Limits().lines

        @Option(help: ArgumentHelp("Bytes that a file may have.", valueName: "n"))
        var maxBytes = BatchImport.Limits().bytes

        @Flag(help: "One line of JSON.")
        var json = false

        func run() async throws {
            var limits = BatchImport.Limits()
            (limits.lines, limits.bytes) = (maxLines, maxBytes)
            let report = try await withQueue { queue in
                try await BatchImport(queue: queue, batch: batch, tenant: tenant, limits: limits).run(path: file) {
                    ProgressLine.show("\($0.submitted) requests submitted")
                }
            }
            ProgressLine.end()
            for fault in report.errors where !json {
                let place = fault.param.map { " (\($0))" } ?? ""
                printError("\(file):\(fault.line): \(fault.code): \(fault.message)\(place)")
            }
            if json {
                try printJSON(report)
            } else {
                let rejected = report.rejected > 0 ? ", of which \(report.rejected) failed at once" : ""
                print(
                    "Submitted \(report.submitted) of \(report.total) requests\(rejected); \(report.failed) lines are wrong."
                )
            }
            if report.failed > 0 { throw ExitCode.failure }
        }
    }

    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a batch's results to an output file and its errors to an error file.")

        @Argument(help: "The batch.")
        var batch: String

        @Option(help: ArgumentHelp("File for the completed requests.", valueName: "file"))
        var output: String

        @Option(help: ArgumentHelp("File for the others; OUTPUT.errors unless given.", valueName: "file"))
        var errors: String?

        @Option(help: ArgumentHelp("Whose batch it is, where several have one of that name.", valueName: "role"))
        var tenant: String?

        @Flag(help: "Wait until the batch has ended.")
        var wait = false

        @Flag(help: "Write what there is of a batch that has not ended.")
        var soFar = false

        @Flag(help: "Print the batch as one line of JSON.")
        var json = false

        func run() async throws {
            let state = try await withQueue { queue in
                if wait {
                    while try await BatchState.find(batch, tenant: tenant, in: queue).status == "in_progress" {
                        try await Task.sleep(for: .seconds(1))
                    }
                }
                let export = BatchExport(
                    queue: queue, batch: batch, tenant: tenant, output: output, errors: errors ?? "\(output).errors")
                return try await export.run(soFar: soFar) { ProgressLine.show("\($0) results written") }
            }
            ProgressLine.end()
            try report(state, json: json)
        }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show how a batch stands.")

        @Argument(help: "The batch.")
        var batch: String

        @Option(help: ArgumentHelp("Whose batch it is, where several have one of that name.", valueName: "role"))
        var tenant: String?

        @Flag(help: "One line of JSON, as the API has it.")
        var json = false

        func run() async throws {
            try report(try await withQueue { try await BatchState.find(batch, tenant: tenant, in: $0) }, json: json)
        }
    }

}

private func report(_ state: BatchState, json: Bool) throws {
    if json { return try printJSON(state) }
    let counts = state.requestCounts
    print("\(state.status): \(counts.completed) of \(counts.total) requests completed, \(counts.failed) failed")
    if let output = state.outputFileID, let errors = state.errorFileID { print("written to \(output) and \(errors)") }
}

/// A line on a terminal that says how far it is.
private enum ProgressLine {
    static func show(_ text: String) {
        if ProgressDisplay.isPossible { FileHandle.standardError.write(Data("\r\u{1B}[K\(text)".utf8)) }
    }

    static func end() { show("") }
}
