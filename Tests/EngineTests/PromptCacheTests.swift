// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Compression
import Foundation
import Inference
import Kernels
import Testing
import Tokenization

@testable import Engine

/// The default model with a small codec, calibrated once for all tests.
struct CodedModel {
    let test: TestModel
    let compressor: Compressor
    let fingerprint: CacheFingerprint

    static let shared = Result { try CodedModel() }

    private init() throws {
        test = try TestModel.shared.get()
        let path = #filePath.replacing(/Tests.*/, with: "Jobs/calibration-sample.txt")
        let text = test.tokenizer.encode(try String(contentsOfFile: path, encoding: .utf8))
        let calibration = Calibration(
            model: test.model, modelDigest: "d", settings: CodecSettings(prototypes: 32), threads: test.threads)
        compressor = try calibration.run([Array(text.prefix(2500))]) { _ in }.compressor
        fingerprint = CacheFingerprint(weights: "w", tokenizer: "t", compressor: "c", rope: "r", segment: 256)
    }

    /// Bytes that a page comes to in an engine.
    var pageBytes: Int {
        EngineSettings.bytes(
            ofPage: KVPool.pageBytes(configuration: test.model.configuration, dataType: .int8), coded: true)
    }

    /// The segments of a request's prompt.
    func chain(_ request: GenerationRequest) -> ChunkChain {
        ChunkChain(fingerprint, salt: [], segment: 256, tail: 64, tokens: Array(request.prompt.dropLast()))
    }

    func engine(_ store: CacheStore? = nil, _ settings: EngineSettings = EngineSettings(kvBytes: 512 << 20)) throws
        -> GenerationEngine
    {
        try GenerationEngine(
            model: test.model, tokenizer: test.tokenizer, threads: test.threads, settings: settings,
            compression: PromptCompression(compressor: compressor, fingerprint: fingerprint, store: store))
    }

    /// A document with a question after it.
    func request(_ question: String, repeats: Int = 60, salt: [UInt8] = []) -> GenerationRequest {
        let story = (0..<repeats).map { "On day \($0) the keeper counted \($0 * 37 % 91) ships and wrote it down. " }
        var request = test.request(story.joined() + question, maxTokens: 12)
        request.cacheSalt = salt
        return request
    }

    func store(_ directory: String) throws -> CacheStore {
        try CacheStore(directory: directory, settings: CacheSettings(freeFloor: 0))
    }
}

/// Prompts that are coded: what they cost and that nothing else changes their texts.
@Suite(.serialized) struct PromptCacheTests {
    private let coded: CodedModel

    init() throws { coded = try CodedModel.shared.get() }

    private static func withDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
        let path = NSTemporaryDirectory() + "deltakv-engine-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try await body(path)
    }

    /// Tokens that are coded: segments of 256 and, after one of them, of 64; at least one token is left over.
    private static func coded(_ request: GenerationRequest) -> Int {
        let given = request.prompt.count - 1
        return given < 256 ? 0 : given / 64 * 64
    }

    /// Alone and fresh, one after another in one engine, all together, and after a restart with segments from the store.
    @Test func textsAreTheSameHoweverTheyAreComputed() async throws {
        let questions = ["How many ships on day 3?", "Who counted?", "What was written on day 12?", "When?"]
        let requests =
            questions.map { coded.request($0) } + [coded.request("Why?", repeats: 25), coded.request("?", repeats: 2)]
        var fresh: [[TokenID]] = []
        for request in requests {
            let engine = try coded.engine()
            let generation = try await engine.generate(request)
            #expect(generation.cachedTokens == 0)
            fresh.append(generation.tokens)
            engine.stop()
        }
        try await Self.withDirectory { directory in
            let engine = try coded.engine(coded.store(directory))
            for (request, expected) in zip(requests, fresh) {
                #expect(try await engine.generate(request).tokens == expected)
            }
            #expect(try await engine.generate(requests[1]).cachedTokens == Self.coded(requests[1]))
            engine.stop()
            // Chunks are written behind.
            let chunks = Set(requests.flatMap { coded.chain($0).keys }).count
            for _ in 0..<200 where try coded.store(directory).entries.count < chunks {
                try await Task.sleep(for: .milliseconds(50))
            }
            for settings in [
                EngineSettings(kvBytes: 512 << 20),
                EngineSettings(maxSequences: 3, rowsPerStep: 100, kvBytes: 128 << 20),
            ] {
                let together = try coded.engine(coded.store(directory), settings)
                let results = try await withThrowingTaskGroup(of: (Int, Generation).self) { group in
                    for (index, request) in requests.enumerated() {
                        group.addTask { (index, try await together.generate(request)) }
                    }
                    return try await group.reduce(into: [Int: Generation]()) { $0[$1.0] = $1.1 }
                }
                for (index, expected) in fresh.enumerated() {
                    #expect(results[index]?.tokens == expected)
                    #expect(results[index]?.cachedTokens == Self.coded(requests[index]))
                }
                together.stop()
            }
        }
    }

    /// The output is longer than a segment, and no segment of it is coded, however it is gone on with.
    @Test func outputsGoOnAfterCodedPrompts() async throws {
        try await Self.withDirectory { directory in
            var request = coded.request("Tell it again, at length.", repeats: 40)
            request.maxTokens = 300
            request.ignoresEndOfText = true
            request.sampling = SamplingParameters(temperature: 0.8, seed: 5)
            let first = try coded.engine(coded.store(directory))
            let whole = try await first.generate(request)
            await first.flush()
            first.stop()
            #expect(whole.tokens.count == 300)
            for (store, count) in [(true, 290), (false, 256), (true, 100)] {
                let engine = try coded.engine(store ? coded.store(directory) : nil)
                defer { engine.stop() }
                request.resumed = Array(whole.tokens.prefix(count))
                let rest = try await engine.generate(request)
                #expect(rest.choices == whole.choices, "\(count)")
                #expect(rest.cachedTokens == (store ? Self.coded(request) : 0))
            }
        }
    }

    /// What was found again is said with what it had cost, and of a damaged chunk that it was one.
    @Test func whatWasSavedAndWhyNotMoreIsTold() async throws {
        let directory = NSTemporaryDirectory() + "deltakv-engine-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let request = coded.request("Who?"), engine = try coded.engine(coded.store(directory))
        let fresh = try await engine.generate(request)
        #expect(fresh.miss == .absent && fresh.secondsSaved == 0)
        let again = try await engine.generate(request)
        #expect(again.miss == nil && again.secondsSaved > 0 && again.secondsSaved <= fresh.prefillSeconds)
        await engine.flush()
        engine.stop()
        let found = try await generateOnce(request, directory)
        #expect(found.miss == nil && abs(found.secondsSaved - again.secondsSaved) < 1e-6)
        // No segment of it could have been found.
        #expect(try await generateOnce(coded.request("Who?", repeats: 1), directory).miss == nil)
        try damageChunk(1, in: directory)
        let partly = try await generateOnce(request, directory)
        #expect(partly.miss == .checksum && partly.cachedTokens == 256 && partly.tokens == fresh.tokens)
        #expect(partly.secondsSaved > 0 && partly.secondsSaved < found.secondsSaved)
    }

    /// Files that are whole but hold rows that do not decode, or a section of no rows, among those that are decoded together: what comes before
    /// them is used.
    @Test(arguments: [(0, true), (1, true), (3, true), (2, false)])
    func whatDoesNotDecodeIsComputed(_ index: Int, _ isSection: Bool) async throws {
        let request = coded.request("Who?"), chain = coded.chain(request)
        try await Self.withDirectory { directory in
            let fresh = try await generateOnce(request, directory + "/sound")
            let sound = try coded.store(directory + "/sound").load(chain).chunks
            #expect(sound.count > 3)
            let other = try coded.store(directory + "/other")
            for (place, chunk) in sound.enumerated() {
                let sections = chunk.sections.map {
                    let half = isSection ? $0.bytes.count / 2 : 0, isDamaged = place == index && $0.id == 7
                    return isDamaged
                        ? CacheSection(
                            id: $0.id, bytes: $0.bytes[..<half] + Array(repeating: 0, count: $0.bytes.count - half))
                        : $0
                }
                _ = try other.publish(sections, at: place, of: chain, prefillSeconds: 1)
            }
            let partly = try await generateOnce(request, directory + "/other")
            #expect(partly.miss == .format && partly.cachedTokens == index * 256 && partly.tokens == fresh.tokens)
        }
    }

    /// In an engine of its own, over what is in the directory.
    private func generateOnce(_ request: GenerationRequest, _ directory: String) async throws -> Generation {
        let engine = try coded.engine(coded.store(directory))
        defer { engine.stop() }
        return try await engine.generate(request)
    }

    private func damageChunk(_ index: Int, in directory: String) throws {
        let entries = try coded.store(directory).entries
        let chunk = try #require(entries.first { $0.index == index })
        let file = URL(fileURLWithPath: "\(directory)/\(chunk.key).chunk")
        var bytes = try Data(contentsOf: file)
        bytes[bytes.count - 9] ^= 1
        try bytes.write(to: file)
    }

    @Test func sequencesThatBeginAlikeComputeTheBeginningOnce() async throws {
        let engine = try coded.engine(), coded = coded
        defer { engine.stop() }
        let cached = try await withThrowingTaskGroup(of: Int.self) { group in
            for index in 0..<5 {
                group.addTask { try await engine.generate(coded.request("Question \(index)?")).cachedTokens }
            }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        let whole = Self.coded(coded.request("Question 0?"))
        #expect(cached.sorted() == [0, whole, whole, whole, whole])
    }

    @Test func anotherSaltFindsNothing() async throws {
        try await Self.withDirectory { directory in
            let engine = try coded.engine(coded.store(directory))
            defer { engine.stop() }
            let own = try await engine.generate(coded.request("Who?", salt: [1]))
            let other = try await engine.generate(coded.request("Who?", salt: [2]))
            #expect(own.cachedTokens == 0 && other.cachedTokens == 0 && own.tokens == other.tokens)
        }
    }

    /// Room for one long prompt only: what others left behind makes way, also while sequences wait.
    @Test func segmentsMakeWayForRunningSequences() async throws {
        let pages = (coded.request("", repeats: 60).prompt.count + 128) / 64
        let engine = try coded.engine(nil, EngineSettings(kvBytes: pages * coded.pageBytes)), coded = coded
        defer { engine.stop() }
        let texts = try await withThrowingTaskGroup(of: (Int, [TokenID]).self) { group in
            for index in 0..<4 {
                group.addTask {
                    let story = "Day \(index % 2): " + String(repeating: "The keeper counts ships again. ", count: 150)
                    let request = coded.test.request(story, maxTokens: 8)
                    return (index % 2, try await engine.generate(request).tokens)
                }
            }
            return try await group.reduce(into: [[TokenID]](repeating: [], count: 2)) { texts, result in
                #expect(texts[result.0].isEmpty || texts[result.0] == result.1)
                texts[result.0] = result.1
            }
        }
        #expect(texts.allSatisfy { !$0.isEmpty })
    }

    @Test func samplesAndCancellationLeaveNothingBehind() async throws {
        let engine = try coded.engine(nil, EngineSettings(kvBytes: 64 << 20)), coded = coded
        defer { engine.stop() }
        var request = coded.request("Tell me.", repeats: 30)
        request.samples = 3
        request.sampling = SamplingParameters(temperature: 1, seed: 3)
        let first = try await engine.generate(request)
        let long = Task { try await engine.generate(coded.request("Go on.", repeats: 45)) }
        try await Task.sleep(for: .milliseconds(200))
        long.cancel()
        _ = try? await long.value
        let second = try await engine.generate(request)
        #expect(first.choices.map(\.tokens) == second.choices.map(\.tokens))
        #expect(second.cachedTokens > 0)
    }
}
