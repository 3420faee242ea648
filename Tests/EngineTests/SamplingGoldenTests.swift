// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing
import Tokenization

@testable import Engine

/// Penalties, bias and cuts against transformers' logits processors (`Golden/make_sampling.py`).
@Suite struct SamplingGoldenTests {
    private struct Case: Decodable {
        let logits: [Float], scale: Float
        let prompt: [TokenID], output: [TokenID]
        let temperature: Float, topK: Int, topP: Float, minP: Float
        let repetitionPenalty: Float, presencePenalty: Float, frequencyPenalty: Float
        let logitBias: [String: Float]
        let argmax: Int
        let draw: [String: Double]
        let top: [[Double]]

        var parameters: SamplingParameters {
            SamplingParameters(
                temperature: temperature, topK: topK, topP: topP, minP: minP, repetitionPenalty: repetitionPenalty,
                presencePenalty: presencePenalty, frequencyPenalty: frequencyPenalty,
                logitBias: Dictionary(uniqueKeysWithValues: logitBias.map { (TokenID($0.key)!, $0.value) }))
        }
    }

    private static func cases() throws -> [Case] {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
            "Golden/sampling.json")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode([Case].self, from: Data(contentsOf: file))
    }

    private func pipeline(_ test: Case, greedy: Bool = false) -> LogitsPipeline {
        var parameters = test.parameters
        if greedy { parameters.temperature = 0 }
        let request = GenerationRequest(prompt: test.prompt, maxTokens: 100, sampling: parameters, logprobs: 5)
        var pipeline = LogitsPipeline(request: request, sample: 0, outputLimit: 100, endOfGeneration: [])
        test.output.forEach { pipeline.accept($0) }
        return pipeline
    }

    @Test func theDrawIsThatOfTheReference() throws {
        let cases = try Self.cases()
        #expect(cases.count == 150)
        for (index, test) in cases.enumerated() {
            var logits = test.logits.map { $0 * test.scale }
            logits.withUnsafeMutableBufferPointer { pipeline(test).apply(to: $0) }
            let best = try #require(logits.indices.max { logits[$0] < logits[$1] })
            let kept = logits.withUnsafeBufferPointer {
                Sampler.candidates($0, best: best, parameters: test.parameters)
            }
            let total = kept.reduce(0) { $0 + $1.weight }
            let shares = Dictionary(uniqueKeysWithValues: kept.map { ($0.index, $0.weight / total) })
            for token in 0..<logits.count {
                let expected = test.draw[String(token)] ?? 0
                #expect(abs((shares[token] ?? 0) - expected) < 1e-5, "case \(index), token \(token)")
            }
        }
    }

    @Test func theGreedyChoiceAndItsLogprobsAreThoseOfTheReference() throws {
        for test in try Self.cases() {
            let logits = test.logits.map { $0 * test.scale }
            let choice = try logits.withUnsafeBufferPointer { try pipeline(test, greedy: true).choose(from: $0) }
            #expect(Int(choice.token) == test.argmax)
            let top = try #require(choice.logprobs?.top)
            #expect(top.map { Int($0.token) } == test.top.map { Int($0[0]) })
            for (ours, theirs) in zip(top, test.top) { #expect(abs(Double(ours.logprob) - theirs[1]) < 1e-5) }
        }
    }
}
