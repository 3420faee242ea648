// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Database
import Foundation
import JobQueue
import PostgreSQL

/// `deltakv jobs`: look at jobs and act on them without SQL.
struct JobsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs", abstract: "List, show, cancel and redrive jobs.",
        subcommands: [List.self, Show.self, Cancel.self, Redrive.self])

    /// The jobs that an action is about: one, or a batch.
    struct Selection: ParsableArguments {
        @Option(help: ArgumentHelp("All jobs of a batch.", valueName: "name"))
        var batch: String?

        @Argument(help: "One job's id.")
        var job: Int64?

        func validate() throws {
            guard (batch == nil) != (job == nil) else { throw ValidationError("give either a job's id or --batch") }
        }

        /// Valid once ``validate()`` has passed.
        var selection: JobSelection { job.map(JobSelection.job) ?? .batch(batch ?? "") }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List jobs, newest first.")

        @Option(help: ArgumentHelp("Only jobs of this batch.", valueName: "name"))
        var batch: String?

        @Option(help: ArgumentHelp("Only jobs in this state.", valueName: "state"))
        var state: JobState?

        @Option(help: ArgumentHelp("At most so many.", valueName: "n"))
        var limit = 50

        @Flag(help: "One line of JSON for each job.")
        var json = false

        func run() async throws {
            try await withQueue { queue in
                for job in try await queue.jobs(batch: batch, state: state, limit: limit) {
                    if json { try printJSON(JobLine(job)) } else { print(JobLine(job).text) }
                }
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one job with its output, errors and history.")

        @Argument(help: "The job's id.")
        var job: Int64

        func run() async throws {
            try await withQueue { queue in
                guard let detail = try await queue.job(job) else {
                    throw DatabaseError("there is no job \(job): 'deltakv jobs list' shows those there are")
                }
                print(JobLine(detail.summary).text)
                for event in detail.events { print("  \(JobsCommand.line(for: event))") }
                for error in detail.errors { print("  attempt \(error.attempt) failed: \(error.error)") }
                if let output = detail.output { print("\n\(output)") }
            }
        }
    }

    private static func line(for event: JobDetail.Event) -> String {
        let known = [event.attempt.map { "attempt \($0)" }, event.workerID.map { "worker \($0)" }, event.code]
        let notes = known.compactMap { $0 }.joined(separator: ", ")
        let time = event.occurredAt.formatted(.iso8601)
        return "\(time)  \(event.name)" + (notes.isEmpty ? "" : " (\(notes))")
    }

    struct Cancel: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Cancel jobs that have not ended.")

        @OptionGroup var selected: Selection

        func run() async throws {
            try await withQueue { queue in
                print("Cancelled \(try await queue.cancel(selected.selection)) jobs.")
            }
        }
    }

    struct Redrive: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Give failed jobs all their attempts again.")

        @OptionGroup var selected: Selection

        func run() async throws {
            try await withQueue { queue in
                print("Redriven: \(try await queue.redrive(selected.selection)) jobs.")
            }
        }
    }
}

/// Runs `body` with the queue of the database in force.
func withQueue<Value>(_ body: (JobQueue) async throws -> Value) async throws -> Value {
    let client = PostgresClient(try DatabaseLocation.resolve().settings, size: 1, patience: .seconds(2))
    do {
        let value = try await body(JobQueue(client: client))
        await client.close()
        return value
    } catch let error as PostgresError where error.sqlState == "42P01" || error.sqlState == "3F000" {
        await client.close()
        throw DatabaseError("the database has no queue yet: run 'deltakv db migrate'")
    } catch {
        await client.close()
        throw error
    }
}

/// A job in a listing.
private struct JobLine: Encodable {
    let id: Int64
    let batch: String
    let customID: String?
    let template: String
    let state: String
    let attempts: Int
    let promptTokens: Int?
    let cachedTokens: Int?
    let secondsSaved: Double?
    let cacheMiss: String?
    let outputTokens: Int?
    let resumedTokens: Int?
    let error: String?

    enum CodingKeys: String, CodingKey {
        case id, batch, template, state, attempts, error
        case customID = "custom_id"
        case promptTokens = "prompt_tokens"
        case cachedTokens = "cached_tokens"
        case secondsSaved = "seconds_saved"
        case cacheMiss = "cache_miss"
        case outputTokens = "output_tokens"
        case resumedTokens = "resumed_tokens"
    }

    init(_ job: JobSummary) {
        id = job.id
        batch = job.batch
        customID = job.customID
        template = job.template
        state = job.state.rawValue
        attempts = job.attempts
        promptTokens = job.promptTokens
        cachedTokens = job.cachedTokens
        secondsSaved = job.secondsSaved
        cacheMiss = job.cacheMiss
        outputTokens = job.outputTokens
        resumedTokens = job.resumedTokens
        error = job.error?.description
    }

    var text: String {
        let cached = cachedTokens.flatMap { $0 > 0 ? " (\($0) cached)" : nil } ?? ""
        let tokens = promptTokens.map { ", \($0) prompt tokens\(cached), \(outputTokens ?? 0) output tokens" } ?? ""
        let reason = error.map { ": \($0)" } ?? ""
        return "\(id)  \(batch)/\(customID ?? "-")  \(template)  \(state)\(tokens)\(reason)"
    }
}

extension JobState: ExpressibleByArgument {}
