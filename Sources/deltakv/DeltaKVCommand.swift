// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Logging
import Service

/// The command line: `deltakv SUBCOMMAND`.
@main
struct DeltaKVCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deltakv",
        abstract: "Bulk long-context LLM work, offline, driven from PostgreSQL.",
        discussion: """
            Start with 'deltakv db up', 'deltakv db migrate' and 'deltakv model fetch', submit jobs with SQL, then run
            'deltakv daemon --drain'. 'deltakv doctor' shows what is in force and whether it works.
            """,
        version: Version.current,
        subcommands: [
            DatabaseCommand.self, ModelCommand.self, CalibrateCommand.self, DaemonCommand.self, JobsCommand.self,
            BatchCommand.self, CacheCommand.self, ReplayCommand.self, GenerateCommand.self, EvalCommand.self,
            BenchCommand.self,
            DashboardCommand.self,
            DoctorCommand.self,
        ])

    /// Exit codes: 0 done, 1 failed, 2 wrong usage.
    static func main() async {
        // A reader that goes away (deltakv jobs list | head) is no reason to die by a signal without a word.
        signal(SIGPIPE, SIG_IGN)
        // A limit on file sizes (ulimit -f) is an error of the write that meets it.
        signal(SIGXFSZ, SIG_IGN)
        // Standard output is for results. Commands say themselves what they did; the daemon logs with a logger of its own.
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = .warning
            return handler
        }
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            let code = exitCode(for: error)
            if code == .success { exit(withError: error) }
            if code == .validationFailure {
                printError(fullMessage(for: error))
                Foundation.exit(2)
            }
            if !(error is ExitCode) { printError("deltakv: \(error)") }
            Foundation.exit(1)
        }
    }
}

/// Writes a line to standard error.
func printError(_ line: String) {
    FileHandle.standardError.write(Data((line + "\n").utf8))
}
