// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing
import Tokenization

@testable import Engine
@testable import JobQueue
@testable import Service

/// What `deltakv replay` says of runs that differ.
@Suite struct ReplayDifferenceTests {
    private func job(_ outputs: [String?], finish: String = "stop") -> RecordedJob {
        RecordedJob(
            id: 1, tenant: "t", state: .completed, template: "t", templateSource: nil, document: nil, options: "{}",
            variables: "{}", messages: nil, submittedAt: Date(), outputs: outputs, finishReason: finish)
    }

    private func generation(_ choices: [(tokens: [TokenID], text: String)], finish: FinishReason = .stop) -> Generation
    {
        Generation(
            choices: choices.map { GenerationChoice(tokens: $0.tokens, text: $0.text, finishReason: finish) },
            promptTokens: 1, cachedTokens: 0, secondsSaved: 0, outputTokens: 1, resumedTokens: 0, prefillSeconds: 0,
            decodeSeconds: 0)
    }

    @Test func theFirstDifferenceIsNamed() {
        let two = generation([([1, 2, 3], "ab\0c"), ([4, 5], "de")])
        #expect(ReplayDifference(job(["ab\u{FFFD}c", "de"]), cached: two, fresh: two) == nil)
        let other = generation([([1, 2, 3], "ab\0c"), ([4, 6], "de")])
        #expect(
            ReplayDifference(job(["ab\u{FFFD}c", "de"]), cached: other, fresh: two) == .tokens(output: 1, at: 1))
        let shorter = generation([([1, 2], "ab"), ([4, 5], "de")])
        #expect(ReplayDifference(job(["ab", "de"]), cached: two, fresh: shorter) == .tokens(output: 0, at: 2))
        #expect(ReplayDifference(job(["ab\u{FFFD}c", "d"]), cached: two, fresh: two) == .text(output: 1, at: 1))
        #expect(ReplayDifference(job(["ab\u{FFFD}d", "x"]), cached: two, fresh: two) == .text(output: 0, at: 5))
        #expect(ReplayDifference(job(["de", nil]), cached: two, fresh: two) == .text(output: 0, at: 0))
        #expect(ReplayDifference(job(["de"]), cached: two, fresh: two) == .outputs(recorded: 1, now: 2))
        let cut = generation([([1], "a")], finish: .length)
        #expect(ReplayDifference(job(["a"]), cached: cut, fresh: cut) == .finishReason(recorded: "stop"))
        #expect(ReplayDifference(job(["a"], finish: "length"), cached: cut, fresh: cut) == nil)
    }
}
