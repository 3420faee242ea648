// SPDX-License-Identifier: Apache-2.0

import Engine
import Testing

@testable import Service

@Suite struct KVBudgetTests {
    @Test func whatIsHeldIsNotGivenAgain() {
        let budget = KVBudget(capacity: 1000)
        #expect(budget.inputBytes(beside: 0) == 4000)
        #expect(budget.inputBytes(beside: 900) == 400)
        #expect(budget.inputBytes(beside: 1000) == 0)
        #expect(budget.inputBytes(beside: 5000) == 0)
        #expect(KVBudget.tokens(forBytes: 4001) == 1000)
    }

    @Test func requestsCountWithAllTheirSamples() {
        var request = GenerationRequest(prompt: [1, 2, 3], maxTokens: 10)
        #expect(KVBudget.tokens(of: request) == 13)
        request.samples = 4
        #expect(KVBudget.tokens(of: request) == 43)
        // Out of range, which the engine says later.
        (request.samples, request.maxTokens) = (.max, .max)
        #expect(KVBudget.tokens(of: request) > 0)
        (request.samples, request.maxTokens) = (-5, -5)
        #expect(KVBudget.tokens(of: request) == 3)
    }
}
