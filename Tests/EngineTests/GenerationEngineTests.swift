// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Kernels
import ModelFiles
import Synchronization
import Testing
import Tokenization

@testable import Engine

/// The default model, loaded once for all tests.
struct TestModel {
    let model: LanguageModel
    let tokenizer: Tokenizer
    let threads: ThreadPool

    static let shared = Result { try TestModel() }

    private init() throws {
        let environment = ProcessInfo.processInfo.environment
        let path =
            environment["DELTAKV_TEST_MODEL"]
            ?? NSHomeDirectory() + "/.cache/deltakv/models/smollm2-135m-instruct-q4_1.gguf"
        try #require(FileManager.default.fileExists(atPath: path), "no model at \(path): run ops/test")
        let file = try GGUFFile(path: path)
        threads = try ThreadPool()
        tokenizer = try Tokenizer(file: file)
        model = try LanguageModel(file: file)
    }

    func engine(_ settings: EngineSettings = EngineSettings(kvBytes: 256 << 20)) throws -> GenerationEngine {
        try GenerationEngine(model: model, tokenizer: tokenizer, threads: threads, settings: settings)
    }

    func request(_ text: String, maxTokens: Int = 16) -> GenerationRequest {
        GenerationRequest(prompt: tokenizer.encode(text), maxTokens: maxTokens)
    }
}

/// One after another: each engine drives the same thread pool.
@Suite(.serialized) struct GenerationEngineTests {
    private let test: TestModel

    init() throws { test = try TestModel.shared.get() }

    @Test func textComesInPiecesThatMakeTheWhole() async throws {
        let engine = try test.engine()
        defer { engine.stop() }
        let pieces = Mutex<[String]>([])
        let result = try await engine.generate(test.request("The capital of France is", maxTokens: 12)) { piece in
            pieces.withLock { $0.append(piece.text) }
        }
        #expect(result.text.contains("Paris"))
        #expect(pieces.withLock { $0.joined() } == result.text)
        #expect(result.promptTokens == test.tokenizer.encode("The capital of France is").count)
        #expect(result.outputTokens == 12 && result.finishReason == .length)
        #expect(result.prefillSeconds > 0 && result.decodeSeconds > 0)
    }

    @Test func aRequestGivesTheSameTextAloneAndInABatch() async throws {
        let prompts = (0..<9).map { "Question \($0): what is \($0 * 7) plus \($0)? Answer:" }
        let alone = try test.engine(EngineSettings(maxSequences: 1, rowsPerStep: 512, kvBytes: 256 << 20))
        var expected: [String] = []
        for prompt in prompts { expected.append(try await alone.generate(test.request(prompt)).text) }
        alone.stop()
        // Few rows a step, so that prompts are cut into chunks and mix with decoding.
        let together = try test.engine(EngineSettings(maxSequences: 8, rowsPerStep: 24, kvBytes: 256 << 20))
        defer { together.stop() }
        let test = test
        let texts = try await withThrowingTaskGroup(of: (Int, String).self) { group in
            for (index, prompt) in prompts.enumerated() {
                group.addTask { (index, try await together.generate(test.request(prompt)).text) }
            }
            return try await group.reduce(into: [Int: String]()) { $0[$1.0] = $1.1 }
        }
        for (index, text) in expected.enumerated() { #expect(texts[index] == text) }
    }

    @Test func samplingIsReproducible() async throws {
        let engine = try test.engine()
        defer { engine.stop() }
        var request = test.request("Once upon a time", maxTokens: 24)
        request.sampling = SamplingParameters(temperature: 1, topK: 40, topP: 0.9, seed: 3)
        let first = try await engine.generate(request).text
        let again = try await engine.generate(request).text
        request.sampling.seed = 4
        let other = try await engine.generate(request).text
        #expect(first == again)
        #expect(first != other)
    }

    @Test func aStopStringEndsTheText() async throws {
        let engine = try test.engine()
        defer { engine.stop() }
        var request = test.request("1, 2, 3, 4, 5,", maxTokens: 40)
        request.stopStrings = [" 8"]
        let result = try await engine.generate(request)
        #expect(result.finishReason == .stop)
        #expect(result.text.hasPrefix(" 6, 7") && !result.text.contains("8"))
    }

    @Test func requestsThatCannotRunSayWhy() async throws {
        let engine = try test.engine(EngineSettings(kvBytes: 64 << 20))
        defer { engine.stop() }
        let word = test.tokenizer.encode(" word")
        #expect(word.count == 1)
        let cases: [(GenerationRequest, GenerationError)] = [
            (GenerationRequest(prompt: [], maxTokens: 4), .emptyPrompt),
            (GenerationRequest(prompt: word, maxTokens: 0), .invalidOption("max_tokens must be at least 1, not 0")),
            (
                GenerationRequest(prompt: Array(repeating: word[0], count: 8192), maxTokens: 1),
                .promptTooLong(tokens: 8192, limit: 8191)
            ),
            (GenerationRequest(prompt: [-1], maxTokens: 1), .invalidToken(-1)),
            (GenerationRequest(prompt: [49152], maxTokens: 1), .invalidToken(49152)),
        ]
        for (request, error) in cases {
            await #expect(throws: error) { try await engine.generate(request) }
        }
        await #expect {
            try await engine.generate(
                GenerationRequest(prompt: Array(repeating: word[0], count: 6000), maxTokens: 10))
        } throws: {
            if case .exceedsMemory = $0 as? GenerationError { true } else { false }
        }
        #expect(try await !engine.generate(test.request("It still works:", maxTokens: 2)).text.isEmpty)
    }

    @Test func aCancelledRequestLeavesRoomForOthers() async throws {
        // Room for one long request only.
        let engine = try test.engine(EngineSettings(kvBytes: 64 << 20))
        defer { engine.stop() }
        let test = test
        let long = Task {
            try await engine.generate(
                GenerationRequest(
                    prompt: test.tokenizer.encode("Tell me everything"), maxTokens: 2500, ignoresEndOfText: true))
        }
        let waiting = Task {
            try await engine.generate(
                GenerationRequest(
                    prompt: test.tokenizer.encode("And then"), maxTokens: 1500, ignoresEndOfText: true))
        }
        try await Task.sleep(for: .milliseconds(300))
        waiting.cancel()
        long.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        await #expect(throws: CancellationError.self) { try await long.value }
        let result = try await engine.generate(
            GenerationRequest(prompt: test.tokenizer.encode("Hi"), maxTokens: 3, ignoresEndOfText: true))
        #expect(result.outputTokens == 3)
    }

    @Test func cancellingBeforeTheStartIsNoticed() async throws {
        let engine = try test.engine()
        defer { engine.stop() }
        let ticket = engine.ticket()
        engine.cancel(ticket)
        await #expect(throws: CancellationError.self) {
            try await engine.generate(test.request("Hello"), ticket: ticket)
        }
    }

    @Test func stoppingFailsWhatIsUnderWay() async throws {
        let engine = try test.engine()
        let test = test
        let running = Task {
            try await engine.generate(
                GenerationRequest(prompt: test.tokenizer.encode("On"), maxTokens: 4000, ignoresEndOfText: true))
        }
        try await Task.sleep(for: .milliseconds(200))
        engine.stop()
        await #expect(throws: GenerationError.engineStopped) { try await running.value }
        await #expect(throws: GenerationError.engineStopped) { try await engine.generate(test.request("Late")) }
    }
}
