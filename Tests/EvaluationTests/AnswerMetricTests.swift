// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Evaluation

@Suite struct AnswerMetricTests {
    private struct Pair: Decodable {
        let answer, reference: String
        let f1, rougeL, edit: Double
    }

    /// Golden/make_metrics.py has the scores from rouge-score and rapidfuzz.
    @Test func equalsReferencePackages() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let pairs = try JSONDecoder().decode(
            [Pair].self, from: Data(contentsOf: folder.appendingPathComponent("Golden/metrics.json")))
        #expect(pairs.count > 60)
        for pair in pairs {
            #expect(abs(TokenF1.score(pair.answer, pair.reference) - pair.f1) < 1e-9, "\(pair)")
            #expect(abs(RougeL.score(pair.answer, pair.reference) - pair.rougeL) < 1e-9, "\(pair)")
            #expect(abs(EditSimilarity.score(pair.answer, pair.reference) - pair.edit) < 1e-9, "\(pair)")
        }
    }

    @Test func theBestReferenceCounts() {
        #expect(AnswerMetric.f1.score("in Paris", references: ["London", "Paris"]) == 2.0 / 3)
        #expect(AnswerMetric.f1.score("in Paris", references: []) == 0)
    }

    @Test func classesShareTheirScore() {
        let classes = ["Location", "City location", "Number"]
        func score(_ answer: String, _ reference: String) -> Double {
            AnswerMetric.accuracy.score(answer, references: [reference], classes: classes)
        }
        #expect(score("Type: Number", "Number") == 1)
        #expect(score("Number or Location", "Number") == 0.5)
        #expect(score("Location", "Number") == 0)
        // Not an answer of its own: part of the reference's name.
        #expect(AnswerMetric.accuracy.score("big cat", references: ["big cat"], classes: ["big cat", "cat"]) == 1)
    }

    @Test func openAnswersMustBeginWithTheReference() {
        #expect(AnswerMetric.accuracy.score("Paragraph 3.", references: ["Paragraph 3"]) == 1)
        #expect(AnswerMetric.accuracy.score("Paragraph 30", references: ["Paragraph 3"]) == 0)
        #expect(AnswerMetric.accuracy.score("", references: ["3"]) == 0)
    }

    @Test func codeIsJudgedByItsFirstLine() {
        let answer = "```python\n# a comment\nreturn x + 1\nmore"
        #expect(AnswerMetric.editSimilarity.score(answer, references: ["return x + 1"]) == 1)
        #expect(AnswerMetric.editSimilarity.score("```", references: ["x"]) == 0)
    }
}
