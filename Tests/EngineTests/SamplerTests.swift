// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing
import Tokenization

@testable import Engine

@Suite struct SamplerTests {
    private func choose(_ logits: [Float], _ parameters: SamplingParameters, step: Int = 0) throws -> TokenID {
        try logits.withUnsafeBufferPointer { try Sampler.choose(from: $0, parameters: parameters, step: step) }
    }

    @Test func greedyTakesTheFirstOfTheLargest() throws {
        #expect(try choose([1, 3, 2, 3], .greedy) == 1)
        #expect(try choose([-.infinity, -5], .greedy) == 1)
    }

    /// Many values are looked at together, and what is left one by one.
    @Test func greedyFindsTheFirstOfTheLargestWhereverItIs() throws {
        var generator = SplitMix64(seed: 5, stream: 0)
        for count in [1, 2, 15, 16, 17, 31, 32, 100, 1000] {
            for _ in 0..<20 {
                var logits = (0..<count).map { _ in Float(Int(generator.nextUnit() * 40)) - 20 }
                let expected = try #require(logits.firstIndex(of: logits.max() ?? 0))
                #expect(try choose(logits, .greedy) == TokenID(expected))
                logits[Int(generator.nextUnit() * Double(count))] = .nan
                #expect(throws: GenerationError.numericalFailure) { try choose(logits, .greedy) }
            }
        }
    }

    @Test(arguments: [[Float.nan, 1], [1, Float.nan], [-.infinity, -.infinity], [.infinity, 1]])
    func logitsThatAreNotNumbersAreAnError(logits: [Float]) {
        #expect(throws: GenerationError.numericalFailure) { try choose(logits, .greedy) }
    }

    @Test func theSameSeedAndStepGiveTheSameToken() throws {
        let logits = (0..<100).map { Float($0 % 7) / 3 }
        let parameters = SamplingParameters(temperature: 1, seed: 42)
        let first = try (0..<50).map { try choose(logits, parameters, step: $0) }
        let again = try (0..<50).map { try choose(logits, parameters, step: $0) }
        let other = try (0..<50).map {
            try choose(logits, SamplingParameters(temperature: 1, seed: 43), step: $0)
        }
        #expect(first == again)
        #expect(first != other)
        #expect(Set(first).count > 10)
    }

    /// Frequencies over many draws match the softmax (chi-squared with 3 degrees of freedom, p = 0.0001: 21.1).
    @Test func drawsFollowTheSoftmaxAtTheTemperature() throws {
        let logits: [Float] = [0, 1, 2, 0.5]
        let temperature: Float = 1.7
        let weights = logits.map { exp(Double($0 / temperature)) }
        let total = weights.reduce(0, +)
        let draws = 20_000
        var counts = [Double](repeating: 0, count: 4)
        for step in 0..<draws {
            let token = try choose(logits, SamplingParameters(temperature: temperature, seed: 7), step: step)
            counts[Int(token)] += 1
        }
        let statistic = zip(counts, weights).reduce(0.0) { sum, pair in
            let expected = Double(draws) * pair.1 / total
            return sum + (pair.0 - expected) * (pair.0 - expected) / expected
        }
        #expect(statistic < 21.1)
    }

    @Test func topKAndTopPCutTheDraw() throws {
        let logits: [Float] = [5, 4.9, 4.8, 0, 0, 0]
        func seen(_ parameters: (Int) -> SamplingParameters) throws -> Set<TokenID> {
            try Set((0..<300).map { try choose(logits, parameters($0), step: $0) })
        }
        #expect(try seen { _ in .init(temperature: 2, topK: 2, seed: 1) } == [0, 1])
        // The three large ones hold 99 % between them; the first alone holds 36 %.
        #expect(try seen { _ in .init(temperature: 1, topP: 0.3, seed: 1) } == [0])
        #expect(try seen { _ in .init(temperature: 1, topP: 0.9, seed: 1) } == [0, 1, 2])
    }

    @Test func parametersOutOfRangeAreNamed() {
        for (parameters, name) in [
            (SamplingParameters(temperature: -1), "temperature"), (.init(temperature: .nan), "temperature"),
            (.init(topK: -3), "top_k"), (.init(topP: 0), "top_p"), (.init(topP: 1.5), "top_p"),
            (.init(minP: -0.1), "min_p"), (.init(repetitionPenalty: 0), "repetition_penalty"),
            (.init(presencePenalty: 3), "presence_penalty"), (.init(frequencyPenalty: .nan), "frequency_penalty"),
            (.init(logitBias: [1: 101]), "logit_bias"),
        ] {
            #expect {
                try parameters.validate()
            } throws: {
                "\($0)".hasPrefix(name)
            }
        }
    }
}
