// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The built program, run as its users run it: as a process.
struct Program {
    /// What a finished run left.
    struct Outcome {
        let status: Int32
        let output: String
        let errors: String
    }

    let environment: [String: String]

    /// Adds variables to the test's own environment.
    init(environment: [String: String] = [:]) {
        self.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
    }

    /// Where the tests' own program lies, and beside it the others.
    static let folder = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        .deletingLastPathComponent()
    private static let executable = folder.appendingPathComponent("deltakv")

    /// Runs to the end.
    func run(_ arguments: String..., input: String? = nil) async throws -> Outcome {
        let running = try start(arguments, input: input)
        return await running.outcome()
    }

    /// Runs a script to its end.
    func runScript(_ script: URL, _ arguments: String...) async throws -> Outcome {
        try await RunningProgram(executable: script, arguments: arguments, environment: environment, input: nil)
            .outcome()
    }

    /// Starts and returns at once.
    func start(_ arguments: [String], input: String? = nil) throws -> RunningProgram {
        try RunningProgram(executable: Self.executable, arguments: arguments, environment: environment, input: input)
    }
}

/// A process under way.
final class RunningProgram: @unchecked Sendable {
    // Safe to share: set up before it is shared, and Process and FileHandle are used from one task at a time.
    private let process = Process()
    private let output: URL
    private let errors: URL

    fileprivate init(executable: URL, arguments: [String], environment: [String: String], input: String?) throws {
        // Files rather than pipes: a full pipe would stop the process that is looked at.
        let folder = FileManager.default.temporaryDirectory
        output = folder.appendingPathComponent("deltakv-\(UUID().uuidString).out")
        errors = folder.appendingPathComponent("deltakv-\(UUID().uuidString).err")
        for file in [output, errors] { try Data().write(to: file) }
        process.executableURL = executable
        process.arguments = arguments
        process.environment = environment
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: errors)
        if let input {
            let pipe = Pipe()
            process.standardInput = pipe
            try process.run()
            pipe.fileHandleForWriting.write(Data(input.utf8))
            try pipe.fileHandleForWriting.close()
        } else {
            process.standardInput = FileHandle.nullDevice
            try process.run()
        }
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        for file in [output, errors] { try? FileManager.default.removeItem(at: file) }
    }

    var isRunning: Bool { process.isRunning }

    /// What it has written to standard error so far.
    var errorText: String { (try? String(contentsOf: errors, encoding: .utf8)) ?? "" }

    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Waits for the end.
    func outcome() async -> Program.Outcome {
        while process.isRunning { try? await Task.sleep(for: .milliseconds(20)) }
        return Program.Outcome(
            status: process.terminationStatus, output: (try? String(contentsOf: output, encoding: .utf8)) ?? "",
            errors: errorText)
    }
}
