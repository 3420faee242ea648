// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Evaluation

@Suite struct DivergenceTests {
    private func sum(_ policy: [Float], _ exact: [Float], target: Int32) -> Divergence {
        var log = exact
        exact.withUnsafeBufferPointer { exact in
            log.withUnsafeMutableBufferPointer { Divergence.logProbabilities(exact, to: $0) }
        }
        var sum = Divergence()
        policy.withUnsafeBufferPointer { policy in
            log.withUnsafeBufferPointer { sum.add(logits: policy, exact: $0, target: target) }
        }
        return sum
    }

    /// p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): KL = 1/2 ln 2 - 1/4 ln 2 = ln(2) / 4; perplexities are 1/p and 1/q of the target.
    @Test func equalsValuesByHand() {
        let half = Float(log(2.0))
        let found = sum([3, 3, 3 + half], [7 + half, 7, 7], target: 0)
        #expect(abs(found.mean - log(2.0) / 4) < 1e-6)
        #expect(abs(found.perplexity - 4) < 1e-5 && abs(found.exactPerplexity - 2) < 1e-5)
        #expect(found.agreement == 0 && found.tokens == 1 && found.standardError == 0)
    }

    @Test func equalDistributionsDoNotDiverge() {
        let logits = (0..<1000).map { Float($0 % 37) / 3 }
        let found = sum(logits.map { $0 + 5 }, logits, target: 4)
        #expect(found.mean < 1e-6 && found.agreement == 1)
        #expect(abs(found.perplexity / found.exactPerplexity - 1) < 1e-6)
    }

    @Test func sumsMerge() {
        var a = sum([1, 0], [0, 1], target: 0)
        let b = sum([2, 0], [2, 0], target: 1)
        a.merge(b)
        #expect(a.tokens == 2 && a.agreement == 0.5)
        // Divergences d and 0: the deviation of two values d, 0 is d/2, and of their mean d / (2 √2).
        #expect(abs(a.standardError - a.mean / 2.0.squareRoot()) < 1e-6)
    }
}
