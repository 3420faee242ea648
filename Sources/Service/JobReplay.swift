// SPDX-License-Identifier: Apache-2.0

import Engine
import Foundation
import JobQueue
import Tokenization

/// A finished job that is run again, to see whether it gives what it gave, with a cache and without.
public struct JobReplay: Sendable {
    /// What a run gave and what it took.
    public struct Run: Sendable {
        /// The outputs and their cost.
        public var generation: Generation
        /// From the request to the result.
        public var seconds: Double

        /// Makes a run.
        public init(generation: Generation, seconds: Double) {
            self.generation = generation
            self.seconds = seconds
        }
    }

    private let job: RecordedJob
    private let request: GenerationRequest

    /// Prepares a job as daemons do: with its template's version, options, seed and tenant.
    ///
    /// - Throws: ``ReplayError`` for a job that has no result; ``JobFault`` where the job cannot be run.
    public init(_ job: RecordedJob, preparer: JobPreparer) throws {
        guard job.state == .completed else { throw ReplayError.notCompleted(job: job.id, state: job.state) }
        self.job = job
        request = try preparer.request(for: JobPreparer.Input(job))
    }

    /// Runs the job. Nothing is written to the queue.
    public func run(on engine: GenerationEngine) async throws -> Run {
        let start = ContinuousClock.now
        let generation = try await engine.generate(request)
        return Run(generation: generation, seconds: (ContinuousClock.now - start) / .seconds(1))
    }

    /// Where a run with the cache, one without and the record first differ; nil where they are the same.
    public func difference(cached: Run, fresh: Run) -> ReplayDifference? {
        ReplayDifference(job, cached: cached.generation, fresh: fresh.generation)
    }
}

/// Where runs of a job first differ.
public enum ReplayDifference: Sendable, Equatable, CustomStringConvertible {
    /// The run with the cache and the one without chose different tokens.
    case tokens(output: Int, at: Int)
    /// Both agree, and the recorded text is another from this byte on.
    case text(output: Int, at: Int)
    /// There are more or fewer outputs than recorded.
    case outputs(recorded: Int, now: Int)
    /// The texts are the same, but one ended for another reason.
    case finishReason(recorded: String)

    /// What differs and where, without a word of the texts.
    public var description: String {
        switch self {
        case .tokens(let output, let place):
            "with the cache and without differ from token \(place + 1) of output \(output) on"
        case .text(let output, let place):
            "with the cache and without agree, but the recorded text differs from byte \(place + 1) of output \(output) on: was it "
                + "made with another model, other settings or another template?"
        case .outputs(let recorded, let now): "\(recorded) outputs are recorded, now there are \(now)"
        case .finishReason(let recorded): "the texts are the same, but the recorded one ended by '\(recorded)'"
        }
    }
}

extension ReplayDifference {
    /// Compares the runs token for token, and their texts with the record; nil where all is the same.
    init?(_ job: RecordedJob, cached: Generation, fresh: Generation) {
        for (output, pair) in zip(cached.choices, fresh.choices).enumerated() where pair.0.tokens != pair.1.tokens {
            self = .tokens(output: output, at: pair.0.tokens.commonPrefix(with: pair.1.tokens))
            return
        }
        let texts = fresh.choices.map(\.text)
        guard job.outputs.count == texts.count else {
            self = .outputs(recorded: job.outputs.count, now: texts.count)
            return
        }
        for (output, text) in texts.enumerated() {
            guard let place = job.difference(from: text, output: output) else { continue }
            self = .text(output: output, at: place)
            return
        }
        guard [cached, fresh].contains(where: { $0.finishReason.rawValue != job.finishReason }) else { return nil }
        self = .finishReason(recorded: job.finishReason ?? "none")
    }
}

/// Why a job cannot be run again.
public enum ReplayError: Error, CustomStringConvertible {
    /// It has no result.
    case notCompleted(job: Int64, state: JobState)

    /// What is wrong.
    public var description: String {
        switch self {
        case .notCompleted(let job, let state):
            "job \(job) is \(state.rawValue): only completed jobs have a result to compare with"
        }
    }
}

extension JobPreparer.Input {
    fileprivate init(_ job: RecordedJob) {
        self.init(
            id: job.id, tenant: job.tenant, template: job.template, document: job.document, variables: job.variables,
            options: job.options, templateSource: job.templateSource, messages: job.messages,
            submittedAt: job.submittedAt)
    }
}

extension Array where Element: Equatable {
    /// How many elements are the same at the beginning.
    fileprivate func commonPrefix(with other: [Element]) -> Int { zip(self, other).prefix { $0 == $1 }.count }
}
