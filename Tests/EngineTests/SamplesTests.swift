// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing
import Tokenization

@testable import Engine

/// Samples, log-probabilities and limits on the real model.
@Suite(.serialized) struct SamplesTests {
    private let test: TestModel

    init() throws { test = try TestModel.shared.get() }

    @Test func samplesAreThoseOfSingleRequestsAndShareTheirPrefill() async throws {
        let engine = try test.engine(EngineSettings(maxSequences: 3, rowsPerStep: 64, kvBytes: 64 << 20))
        defer { engine.stop() }
        for text in [String(repeating: "The keeper of the lighthouse counts ships. ", count: 25), "Once upon a time"] {
            var request = test.request(text, maxTokens: 20)
            request.sampling = SamplingParameters(temperature: 0.9, topP: 0.95, seed: 11)
            var alone: [String] = []
            for offset in 0..<5 {
                var single = request
                single.sampling.seed += UInt64(offset)
                alone.append(try await engine.generate(single).text)
            }
            request.samples = 5
            let together = try await engine.generate(request)
            #expect(together.choices.map(\.text) == alone)
            #expect(Set(alone).count > 1)
            #expect(
                together.outputTokens == together.choices.reduce(0) { $0 + $1.tokens.count }
                    || together.outputTokens > 80)
        }
    }

    @Test func groupsWaitForMemoryWithoutLockingUp() async throws {
        // 64 MiB hold some 2,900 tokens: each group alone fits, all together do not.
        let engine = try test.engine(EngineSettings(maxSequences: 4, rowsPerStep: 256, kvBytes: 64 << 20)), test = test
        defer { engine.stop() }
        let prompts = (0..<5).map { String(repeating: "Group \($0) tells of a river. ", count: 100) }
        let texts = try await withThrowingTaskGroup(of: [String].self) { group in
            for prompt in prompts {
                group.addTask {
                    var request = test.request(prompt, maxTokens: 200)
                    request.sampling = SamplingParameters(temperature: 1, seed: 5)
                    request.samples = 3
                    request.maxTokens = 12
                    return try await engine.generate(request).choices.map(\.text)
                }
            }
            return try await group.reduce(into: [[String]]()) { $0.append($1) }
        }
        #expect(texts.count == 5 && texts.allSatisfy { $0.count == 3 })
        #expect(try await engine.generate(test.request("After that:", maxTokens: 3)).outputTokens > 0)
    }

    @Test func aCancelledGroupLeavesRoomForOthers() async throws {
        let engine = try test.engine(EngineSettings(kvBytes: 64 << 20)), test = test
        defer { engine.stop() }
        let running = Task {
            var request = test.request(String(repeating: "On and on. ", count: 60), maxTokens: 1500)
            request.samples = 6
            request.ignoresEndOfText = true
            return try await engine.generate(request)
        }
        try await Task.sleep(for: .milliseconds(400))
        running.cancel()
        await #expect(throws: CancellationError.self) { try await running.value }
        var request = test.request("Hi", maxTokens: 2500)
        request.maxTokens = 2500
        request.stopStrings = [" "]
        #expect(try await engine.generate(request).outputTokens > 0)
    }

    @Test func logprobsAreThoseOfTheModel() async throws {
        let engine = try test.engine()
        defer { engine.stop() }
        var request = test.request("The capital of France is", maxTokens: 6)
        request.logprobs = 3
        let choice = try await engine.generate(request).choices[0]
        let logprobs = try #require(choice.logprobs)
        #expect(logprobs.map(\.chosen.token) == choice.tokens)
        for entry in logprobs {
            #expect(entry.top.count == 3 && entry.top[0] == entry.chosen)
            #expect(entry.top.map(\.logprob) == entry.top.map(\.logprob).sorted(by: >))
            #expect(entry.chosen.logprob <= 0 && entry.top.reduce(0) { $0 + exp($1.logprob) } <= 1.0001)
        }
        // What is chosen against the odds has the odds of the model, not of the changed logits.
        request.sampling.logitBias = [logprobs[0].top[2].token: 100]
        let biased = try #require(try await engine.generate(request).choices[0].logprobs)
        #expect(biased[0].chosen == logprobs[0].top[2])
        #expect(biased[0].top == logprobs[0].top)
    }

    @Test func stopTokensEndTheTextAndMinTokensHoldItOpen() async throws {
        let engine = try test.engine()
        defer { engine.stop() }
        var request = test.request("1, 2, 3, 4, 5,", maxTokens: 24)
        let plain = try await engine.generate(request)
        let stop = plain.tokens[5]
        request.stopTokens = [stop]
        let stopped = try await engine.generate(request)
        let end = try #require(plain.tokens.firstIndex(of: stop))
        #expect(stopped.tokens == Array(plain.tokens[..<end]) && stopped.finishReason == .stop)
        request.minTokens = 12
        let held = try await engine.generate(request)
        #expect(held.outputTokens > 12 && !held.tokens.prefix(12).contains(stop))
        request.stopTokens = []
        request.stopStrings = [","]
        request.minTokens = 8
        let strings = try await engine.generate(request)
        #expect(strings.outputTokens > 8 && strings.text.contains(","))
    }
}
