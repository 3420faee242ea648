// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Evaluation

@Suite struct TextMeasureTests {
    /// Overlapping histories, and a policy that changes nothing that matters beside one that does.
    @Test func policiesAreScoredAgainstExact() throws {
        let loaded = try TestModel.load(), runner = try loaded.runner()
        let measure = TextMeasure(histories: [192, 224], score: 48),
            document = TextMeasure.Document(
                name: "text", tokens: loaded.text(300))
        var steps = 0
        let outcomes = try measure.run(document, policies: [HalfPolicy(), KIVIPolicy(bits: 2)], with: runner) { _ in
            steps += 1
        }
        #expect(steps == 5 && outcomes.map { $0.map(\.history) } == [[192, 224], [192, 224]])
        for index in 0..<2 {
            let half = outcomes[0][index].divergence, coarse = outcomes[1][index].divergence
            #expect(half.tokens == 48 && half.mean < 1e-4 && half.agreement > 0.95)
            #expect(abs(half.perplexity / half.exactPerplexity - 1) < 0.01)
            #expect(coarse.mean > 10 * half.mean && coarse.exactPerplexity == half.exactPerplexity)
            #expect(outcomes[1][index].bytes.memory < outcomes[0][index].bytes.memory)
        }
        // The same text by itself gives the same bits.
        let alone = try TextMeasure(histories: [224], score: 48).run(
            document, policies: [KIVIPolicy(bits: 2)], with: runner
        ) { _ in }
        #expect(alone[0][0].divergence == outcomes[1][1].divergence)
    }

    @Test func shortTextsAndContextsAreRefused() throws {
        let loaded = try TestModel.load(), runner = try loaded.runner()
        let document = TextMeasure.Document(name: "short", tokens: loaded.text(100))
        #expect(throws: EvaluationError.textTooShort(name: "short", tokens: 100, needed: 101)) {
            try TextMeasure(histories: [90], score: 10).run(document, policies: [], with: runner) { _ in }
        }
        #expect(throws: EvaluationError.contextTooShort(needed: 8193, limit: 8192)) {
            try TextMeasure(histories: [8000], score: 193).run(document, policies: [], with: runner) { _ in }
        }
    }
}
