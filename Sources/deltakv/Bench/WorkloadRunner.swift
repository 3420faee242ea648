// SPDX-License-Identifier: Apache-2.0

import Engine
import Foundation
import Inference
import Service
import Tokenization

/// Measures workloads of random tokens through the same engine that runs jobs.
///
/// Prefill is timed with one new token, decode by the difference to a second run with all of them, both on fresh
/// prompts: what a prompt costs and what a token costs, apart.
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
        /// Seconds to one new token for each prompt, and to all of them.
        let seconds: [Double]

        enum CodingKeys: String, CodingKey {
            case engine, batch, prompt, policy, shared, seconds
            case prefillTPS = "prefill_tps"
            case decodeTPS = "decode_tps"
            case kvBytesPerToken = "kv_bytes_per_token"
            case peakRSSBytes = "peak_rss_bytes"
        }
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
        _ = try await seconds(Workload(batch: 1, prompt: 64), newTokens: 4)
    }

    /// Measures one workload.
    mutating func measure(_ work: Workload, newTokens: Int) async throws -> Line {
        let short = try await seconds(work, newTokens: 1)
        let long = try await seconds(work, newTokens: newTokens)
        let decoded = Double(work.batch * (newTokens - 1))
        // Where noise exceeds the decode itself there is no figure to give.
        let decode = long > short ? decoded / (long - short) : 0
        return Line(
            batch: work.batch, prompt: work.prompt,
            prefillTPS: rounded(Double(work.batch * work.prompt) / short), decodeTPS: rounded(decode),
            kvBytesPerToken: kvBytesPerToken, peakRSSBytes: peakResidentBytes(), policy: policy,
            shared: min(shared, work.prompt - 1), seconds: [short, long])
    }

    private mutating func seconds(_ work: Workload, newTokens: Int) async throws -> Double {
        let beginning = tokens(min(shared, work.prompt - 1))
        let prompts = (0..<work.batch).map { _ in beginning + tokens(work.prompt - beginning.count) }
        let engine = engine
        let start = ContinuousClock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            for prompt in prompts {
                let request = GenerationRequest(prompt: prompt, maxTokens: newTokens, ignoresEndOfText: true)
                group.addTask { _ = try await engine.generate(request) }
            }
            try await group.waitForAll()
        }
        return (ContinuousClock.now - start) / .seconds(1)
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
