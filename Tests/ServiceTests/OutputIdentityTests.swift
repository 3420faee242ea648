// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Engine
import JobQueue
import Kernels
import Testing

@testable import Service

/// What a daemon takes up of another's output.
@Suite struct OutputIdentityTests {
    private func engine(_ weights: String = "w") -> CacheFingerprint {
        CacheFingerprint(weights: weights, tokenizer: "t", compressor: "c", rope: "r", segment: 256)
    }

    private var request: GenerationRequest {
        GenerationRequest(
            prompt: [1, 2, 3], maxTokens: 9,
            sampling: SamplingParameters(logitBias: [4: 1, 5: 2, 6: 3, 7: 4], seed: 1),
            stopStrings: ["a", "b"], stopTokens: [9, 8, 7, 6], minTokens: 2, cacheSalt: [1])
    }

    private func identity(_ request: GenerationRequest) throws -> OutputIdentity {
        try #require(OutputIdentity(of: request, engine: engine(), sparse: nil))
    }

    @Test func onlyTheSameWorkIsGoneOnWith() throws {
        let output: [Int32] = [3, 1, 4], own = try identity(request)
        let saved = SavedOutput(fingerprint: own.fingerprint(of: output), output: output)
        #expect(saved.fingerprint.count == 64 && own.resumable(saved) == output)
        #expect(own.resumable(nil) == [])
        // Sets and dictionaries have no order, and whose prompt it is changes no token.
        for _ in 0..<20 {
            var other = request
            other.cacheSalt = []
            #expect(try identity(other).resumable(saved) == output)
        }
        #expect(own.resumable(SavedOutput(fingerprint: saved.fingerprint, output: [3, 1, 5])) == [])
        #expect(own.resumable(SavedOutput(fingerprint: saved.fingerprint, output: [3, 1])) == [])
        #expect(OutputIdentity(of: request, engine: engine("v"), sparse: nil)?.resumable(saved) == [])
        let sparse = SparseAttention(share: 0.25)
        #expect(OutputIdentity(of: request, engine: engine(), sparse: sparse)?.resumable(saved) == [])
        let changes: [(inout GenerationRequest) -> Void] = [
            { $0.prompt = [1, 2, 4] }, { $0.maxTokens = 10 }, { $0.minTokens = 3 }, { $0.sampling.seed = 2 },
            { $0.sampling.temperature = 0.5 }, { $0.sampling.topP = 0.9 }, { $0.sampling.logitBias[4] = 2 },
            { $0.stopStrings = ["a, b"] }, { $0.stopTokens = [9, 8, 7] },
        ]
        for (number, change) in changes.enumerated() {
            var other = request
            change(&other)
            #expect(try identity(other).resumable(saved) == [], "change \(number)")
        }
    }

    @Test func resultsThatAreMoreThanTheirTokensBeginAnew() {
        var several = request, logprobs = request
        several.samples = 2
        logprobs.logprobs = 0
        for request in [several, logprobs] {
            #expect(OutputIdentity(of: request, engine: engine(), sparse: nil) == nil)
        }
    }
}
