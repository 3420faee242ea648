// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Database
import Foundation
import Service

/// `deltakv replay`: whether a job gives what it gave, with the cache and without.
struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Run a finished job again, with the cache as it is and without any, and compare.",
        discussion: """
            The job is prepared as a daemon does, with its own template, options, seed and tenant; nothing is added to the queue
            or the cache. Both runs must choose the same tokens and give the recorded text: else the exit code is 1. Give the
            settings that the daemon has. Whoever may read the job may replay it: its tenant, or an administrator.
            """)

    @OptionGroup var settings: SettingsOptions

    @OptionGroup var policy: PolicyOption

    @Flag(help: "One line of JSON.")
    var json = false

    @Argument(help: "The job's id.")
    var job: Int64

    func run() async throws {
        let settings = try await settings.load(more: [.kvPolicy: policy.policy])
        guard let recorded = try await withQueue({ try await $0.recordedJob(job) }) else {
            throw DatabaseError(
                "there is no job \(job), or none that this login may read: 'deltakv jobs list' shows those there are")
        }
        let loaded = try settings.loadModel()
        let replay = try JobReplay(
            recorded, preparer: loaded.preparer(TemplateLibrary(directory: Installation().jobs)))
        func run(_ cache: CacheAccess) async throws -> JobReplay.Run {
            let engine = try await settings.startEngine(loaded, cache: cache)
            defer { engine.stop() }
            return try await replay.run(on: engine)
        }
        let cached = try await run(.read), fresh = try await run(.none)
        let difference = replay.difference(cached: cached, fresh: fresh)
        let report = Report(job: job, cached: Line(cached), fresh: Line(fresh), difference: difference?.description)
        if json { try printJSON(report) } else { print(report.text) }
        if difference != nil { throw ExitCode.failure }
    }

    /// A run, for people and programs.
    private struct Line: Encodable {
        let promptTokens: Int
        let cachedTokens: Int
        let cacheMiss: String?
        let outputTokens: Int
        let prefillSeconds: Double
        let decodeSeconds: Double
        let seconds: Double

        enum CodingKeys: String, CodingKey {
            case seconds
            case promptTokens = "prompt_tokens"
            case cachedTokens = "cached_tokens"
            case cacheMiss = "cache_miss"
            case outputTokens = "output_tokens"
            case prefillSeconds = "prefill_seconds"
            case decodeSeconds = "decode_seconds"
        }

        init(_ run: JobReplay.Run) {
            promptTokens = run.generation.promptTokens
            cachedTokens = run.generation.cachedTokens
            cacheMiss = run.generation.miss?.rawValue
            outputTokens = run.generation.outputTokens
            prefillSeconds = run.generation.prefillSeconds
            decodeSeconds = run.generation.decodeSeconds
            seconds = run.seconds
        }

        var text: String {
            "\(cachedTokens) of \(promptTokens) prompt tokens from the cache"
                + (cacheMiss.map { " (then \($0))" } ?? "")
                + ", prefill \(Self.time(prefillSeconds)), decode \(Self.time(decodeSeconds)), in all \(Self.time(seconds))"
        }

        private static func time(_ seconds: Double) -> String {
            seconds.formatted(.number.precision(.fractionLength(2))) + " s"
        }
    }

    /// Both runs and what came of them.
    private struct Report: Encodable {
        let job: Int64
        let cached: Line
        let fresh: Line
        let difference: String?

        var text: String {
            """
            with the cache: \(cached.text)
            without:        \(fresh.text)
            \(difference.map { "Job \(job) differs: \($0)" } ?? "Job \(job): both runs chose the same tokens and gave the recorded text.")
            """
        }
    }
}
