// SPDX-License-Identifier: Apache-2.0
import Foundation
import Inference
import Testing

@testable import Evaluation

@Suite struct RetrievalTests {
    @Test func contextsHoldWhatIsAsked() throws {
        let tokenizer = try TestModel.load().tokenizer
        let contexts = RetrievalContext.make(questions: 25, lengths: [1024, 1536], tokenizer: tokenizer)
        #expect(contexts.map(\.tokens.count) == [1024, 1536, 1024])
        for context in contexts {
            let text = tokenizer.decode(context.tokens)
            #expect(context.questions.count { $0.task == .lookup } == 10)
            #expect(context.questions.count { $0.task == .tracing } == 5)
            for question in context.questions {
                #expect(question.tokens.count == question.isAnswer.count && question.isAnswer.last == true)
                // Each answer follows, in the context, the words that ask for it.
                for part in tokenizer.decode(question.tokens).split(separator: ". ") {
                    #expect(text.contains(part.trimmingCharacters(in: .whitespacesAndNewlines)), "\(part)")
                }
            }
            let answers = context.questions.map { question in
                tokenizer.decode(zip(question.tokens, question.isAnswer).filter(\.1).map(\.0))
            }
            #expect(Set(answers).count > 10)
        }
        let again = RetrievalContext.make(questions: 25, lengths: [1024, 1536], tokenizer: tokenizer)
        #expect(again.map(\.tokens) == contexts.map(\.tokens))
        #expect(contexts[0].tokens != contexts[2].tokens)
    }

    /// Keys are hidden from the beginning to the end, each in a tenth of its own or nearly.
    @Test func keysLieAtAllDepths() throws {
        let tokenizer = try TestModel.load().tokenizer
        let contexts = RetrievalContext.make(questions: 10, lengths: [3072], tokenizer: tokenizer)
        let text = tokenizer.decode(contexts[0].tokens)
        var tenths: Set<Int> = []
        for match in text.ranges(of: "The secret code of") {
            tenths.insert(text.distance(from: text.startIndex, to: match.lowerBound) * 10 / text.count)
        }
        #expect(tenths.count >= 6)
    }

    /// Questions asked together are the questions asked one after another.
    @Test func questionsDoNotSeeEachOther() throws {
        let loaded = try TestModel.load(), runner = try loaded.runner()
        let tokens = loaded.text(256), tails = (0..<3).map { loaded.text(9 + $0, seed: UInt64($0) + 5) }
        let recorder = try HistoryRecorder(shape: runner.shape, ends: [256])
        try runner.prefill(tokens[...], recorder: recorder)
        let history = recorder.history(of: tokens[...])
        for policy in [HalfPolicy(), OmniKVPolicy(budget: 16)] as [any CachePolicy] {
            try runner.install(policy.compress(history), of: history)
            var together: [[Float]] = [], apart: [[Float]] = []
            try runner.scoreApart(tails.map { $0[...] }, position: 256) { together.append(Array($2)) }
            for tail in tails { try runner.score(tail[...], position: 256) { apart.append(Array($1)) } }
            #expect(together == apart && together.count == 9 + 10 + 11)
        }
    }

    @Test func scoresAddUp() {
        var score = RetrievalScore()
        score.add(isRight: true, logLikelihood: -1)
        var other = RetrievalScore()
        other.add(isRight: false, logLikelihood: -3)
        score.merge(other)
        #expect(score.questions == 2 && score.share == 0.5 && score.logLikelihood == -2)
        #expect(abs(score.shareError - 0.125.squareRoot()) < 1e-12)
        #expect(abs(score.logLikelihoodError - 0.5.squareRoot()) < 1e-12)
    }
}
