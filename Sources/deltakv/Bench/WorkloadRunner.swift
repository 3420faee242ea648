// SPDX-License-Identifier: Apache-2.0

import Engine
import Foundation
import Inference
import Service
import Tokenization

/// Measures workloads of random tokens through the same engine that runs jobs.
///
/// Prefill is timed with one new token, decode in a second run with all of them, on fresh prompts, while the whole batch decodes: from
/// the moment when the last prompt has been computed until the first sequence ends. Where a quarter of the tokens or less come then,
/// it is the difference of the two runs; on a machine whose speed changes that says little if prompts take much longer than
/// tokens.
struct WorkloadRunner {
    /// The line of JSON for one workload.
    struct Line: Encodable {
        let engine = "deltakv"
        let batch: Int
        let prompt: Int
        let prefillTPS: Double
        let decodeTPS: Double
        let kvBytesPerToken: Int
        let peakRSSBytes: Int
        let policy: String
        /// Tokens that all prompts begin with alike.
        let shared: Int
        /// Seconds to one new token for each prompt, and, at the speed of decoding, to all of them.
        let seconds: [Double]
        /// Milliseconds of a step of the whole batch, by what they went into; where it never decodes, of the steps after the last prompt.
        let step: Step
        /// Generated tokens a second for each GiB of memory at the peak.
        let decodeTPSPerGiB: Double
        /// How often a sequence made room for others and went on later, in this workload and those before.
        let suspensions: Int
        /// The most memory that keys and values took, in this workload and those before (``EngineLoad/kvPeakMemory``).
        let kvPeakBytes: Int

        enum CodingKeys: String, CodingKey {
            case engine, batch, prompt, policy, shared, seconds, step, suspensions
            case kvPeakBytes = "kv_peak_bytes"
            case decodeTPSPerGiB = "decode_tps_per_gib"
            case prefillTPS = "prefill_tps"
            case decodeTPS = "decode_tps"
            case kvBytesPerToken = "kv_bytes_per_token"
            case peakRSSBytes = "peak_rss_bytes"
        }
    }

    struct Step: Encodable {
        let linear, store, attention, logits: Double
        /// Scheduling, and handing out tokens.
        let other: Double
    }

    /// What a workload took.
    private struct Course {
        let seconds: Double
        let step: Step
        /// Tokens generated while the whole batch decoded, and how long that was.
        let outputTokens: Int
        let outputSeconds: Double
    }

    let engine: GenerationEngine
    let vocabulary: Int
    let kvBytesPerToken: Int
    let policy: String
    /// Tokens that the prompts of a workload begin with alike, at most all but the last.
    let shared: Int
    private var random = SystemRandomNumberGenerator()

    init(engine: GenerationEngine, vocabulary: Int, kvBytesPerToken: Int, policy: String, shared: Int) {
        self.engine = engine
        self.vocabulary = vocabulary
        self.kvBytesPerToken = kvBytesPerToken
        self.policy = policy
        self.shared = shared
    }

    /// Touches weights, code and threads once, so that the first measurement does not pay for them.
    mutating func warmUp() async throws {
        _ = try await run(Workload(batch: 1, prompt: 64), newTokens: 4)
    }

    /// Measures one workload.
    mutating func measure(_ work: Workload, newTokens: Int) async throws -> Line {
        let short = try await run(work, newTokens: 1), long = try await run(work, newTokens: newTokens)
        let decoded = work.batch * (newTokens - 1), decode = decodeSpeed(short, long, decoded: decoded)
        let peak = peakResidentBytes(), load = engine.load
        return Line(
            batch: work.batch, prompt: work.prompt,
            prefillTPS: rounded(Double(work.batch * work.prompt) / short.seconds), decodeTPS: rounded(decode),
            kvBytesPerToken: kvBytesPerToken, peakRSSBytes: peak, policy: policy, shared: min(shared, work.prompt - 1),
            seconds: [short.seconds, decode > 0 ? short.seconds + Double(decoded) / decode : long.seconds],
            step: long.step, decodeTPSPerGiB: rounded(decode / (Double(peak) / Double(1 << 30))),
            suspensions: load.suspensions, kvPeakBytes: load.kvPeakMemory)
    }

    /// Tokens a second; 0 where only the difference of two runs would tell and noise exceeds it.
    private func decodeSpeed(_ short: Course, _ long: Course, decoded: Int) -> Double {
        if long.outputTokens > decoded / 4 { return Double(long.outputTokens) / long.outputSeconds }
        return long.seconds > short.seconds ? Double(decoded) / (long.seconds - short.seconds) : 0
    }

    /// The mean step between two moments.
    private func step(from first: Moment, to last: Moment) -> Step {
        let times = last.load.times - first.load.times, steps = Double(max(1, last.load.steps - first.load.steps))
        func milliseconds(_ part: Double) -> Double { (part / steps * 1e5).rounded() / 100 }
        return Step(
            linear: milliseconds(times.linear), store: milliseconds(times.store),
            attention: milliseconds(times.attention), logits: milliseconds(times.logits),
            other: milliseconds((last.time - first.time) / .seconds(1) - times.sum))
    }

    private struct Moment {
        let load: EngineLoad
        let time: ContinuousClock.Instant

        /// Counters change at the ends of steps: they are of the time when the step under way began, if there is one.
        init(of engine: GenerationEngine) {
            load = engine.load
            time = load.stepBegan ?? .now
        }
    }

    /// When the last token of a prompt was computed, seen until the task is cancelled.
    private static func promptsEnd(_ engine: GenerationEngine) async -> Moment {
        var end = Moment(of: engine)
        while !Task.isCancelled {
            let now = Moment(of: engine)
            if now.load.promptTokens != end.load.promptTokens { end = now }
            try? await Task.sleep(for: .milliseconds(2))
        }
        return end
    }

    private mutating func run(_ work: Workload, newTokens: Int) async throws -> Course {
        let beginning = tokens(min(shared, work.prompt - 1))
        let prompts = (0..<work.batch).map { _ in beginning + tokens(work.prompt - beginning.count) }
        let engine = engine, start = ContinuousClock.now
        let prefill = Task { await Self.promptsEnd(engine) }
        defer { prefill.cancel() }
        let firstEnd = try await withThrowingTaskGroup(of: Void.self, returning: Moment.self) { group in
            for prompt in prompts {
                let request = GenerationRequest(prompt: prompt, maxTokens: newTokens, ignoresEndOfText: true)
                group.addTask { _ = try await engine.generate(request) }
            }
            try await group.next()
            let first = Moment(of: engine)
            try await group.waitForAll()
            return first
        }
        let last = Moment(of: engine)
        prefill.cancel()
        let allComputed = await prefill.value
        // If the first ended before the last prompt was computed, the whole batch never decoded.
        let whole = firstEnd.load.steps > allComputed.load.steps
        return Course(
            seconds: (last.time - start) / .seconds(1), step: step(from: allComputed, to: whole ? firstEnd : last),
            outputTokens: whole ? firstEnd.load.outputTokens - allComputed.load.outputTokens : 0,
            outputSeconds: (firstEnd.time - allComputed.time) / .seconds(1))
    }

    private mutating func tokens(_ count: Int) -> [TokenID] {
        (0..<count).map { _ in
            TokenID(Int.random(in: min(100, vocabulary - 1)..<min(40_000, vocabulary), using: &random))
        }
    }

    private func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }

    private func peakResidentBytes() -> Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss * 1024
    }
}
