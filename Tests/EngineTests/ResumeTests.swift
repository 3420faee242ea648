// SPDX-License-Identifier: Apache-2.0

import Kernels
import StructuredOutput
import Testing
import Tokenization

@testable import Engine

/// Outputs that an attempt before had begun, on the real model.
@Suite(.serialized) struct ResumeTests {
    private let test: TestModel

    init() throws { test = try TestModel.shared.get() }

    /// Goes on from several places of an output and compares with the whole.
    private func expectTheSame(_ request: GenerationRequest, on engine: GenerationEngine, _ name: String) async throws {
        let before = engine.load.outputTokens, whole = try await engine.generate(request)
        #expect(engine.load.outputTokens - before == whole.outputTokens, "\(name)")
        try #require(whole.tokens.count > 20, "\(name): \(whole.text)")
        for count in [1, 17, whole.tokens.count - 1] {
            var resumed = request
            resumed.resumed = Array(whole.tokens.prefix(count))
            let before = engine.load.outputTokens, rest = try await engine.generate(resumed)
            #expect(rest.choices == whole.choices, "\(name) from \(count)")
            #expect(rest.outputTokens == whole.outputTokens && rest.resumedTokens == count, "\(name)")
            // What was there is not generated again.
            #expect(engine.load.outputTokens - before == whole.outputTokens - count, "\(name) from \(count)")
        }
    }

    @Test(arguments: [KVDataType.int8, .float16, .float32]) func outputsGoOnAsIfNothingHadHappened(type: KVDataType)
        async throws
    {
        let engine = try test.engine(EngineSettings(rowsPerStep: 96, kvBytes: 128 << 20, kvDataType: type))
        defer { engine.stop() }
        let story = String(repeating: "The keeper of the lighthouse counts ships and writes. ", count: 12)
        var request = test.request(story, maxTokens: 70)
        request.minTokens = 40
        try await expectTheSame(request, on: engine, "greedy")
        request.sampling = SamplingParameters(
            temperature: 0.9, topK: 40, topP: 0.95, repetitionPenalty: 1.1, presencePenalty: 0.4, frequencyPenalty: 0.2,
            logitBias: [11: 2], seed: 7)
        try await expectTheSame(request, on: engine, "drawn")
        request.stopStrings = ["keeper of", "\n\n\n", "ships and writes. The"]
        try await expectTheSame(request, on: engine, "with stops")
        request.stopStrings = []
        request.minTokens = 0
        request.constraint = try JSONConstraint(schema: ConstraintTests.schemas[1], trie: TokenTrie(test.tokenizer))
        request.maxTokens = 90
        try await expectTheSame(request, on: engine, "JSON")
    }

    @Test func whatCannotBeGoneOnWithIsAnError() async throws {
        let engine = try test.engine()
        defer { engine.stop() }
        let whole = try await engine.generate(test.request("One, two, three,", maxTokens: 8))
        var request = test.request("One, two, three,", maxTokens: 8)
        request.resumed = whole.tokens
        request.samples = 2
        await #expect(throws: GenerationError.invalidOption("an output with n or logprobs cannot be resumed")) {
            try await engine.generate(request)
        }
        request.samples = 1
        await #expect(throws: GenerationError.invalidOption("the output that is to be resumed has ended")) {
            try await engine.generate(request)
        }
        request.resumed = [-1]
        await #expect(throws: GenerationError.invalidToken(-1)) { try await engine.generate(request) }
        #expect(try await engine.generate(test.request("One, two, three,", maxTokens: 8)).tokens == whole.tokens)
    }
}
