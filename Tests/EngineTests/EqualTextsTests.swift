// SPDX-License-Identifier: Apache-2.0

import Foundation
import Kernels
import SeededRandom
import Testing
import Tokenization

@testable import Engine

/// Random jobs give the same texts however they are computed. `ops/soak texts` runs 200 of them, the suite a few.
@Suite(.serialized) struct EqualTextsTests {
    private static let jobs = ProcessInfo.processInfo.environment["DELTAKV_SOAK_JOBS"].flatMap { Int($0) } ?? 12
    private static let seed = ProcessInfo.processInfo.environment["DELTAKV_SOAK_SEED"].flatMap { UInt64($0) } ?? 1

    /// Every third head sees the ends of its context only.
    private static let sparse = SparseAttention(
        share: 0.5, local: (0..<30).map { layer in (0..<3).map { (layer + $0) % 3 == 0 } })

    private let coded: CodedModel

    init() throws { coded = try CodedModel.shared.get() }

    /// Alone in an engine of its own; all at once, up to 64 in a batch, in memory that makes some wait, segments make way and
    /// sequences take turns; once more with what is left of their beginnings; and after a restart with segments from the store, in small steps.
    @Test func aloneInABatchReusedAndRestored() async throws {
        let requests = requests()
        var alone: [[TokenID]] = []
        for request in requests {
            let engine = try coded.engine(nil, EngineSettings(kvBytes: 512 << 20, sparse: Self.sparse))
            alone.append(try await engine.generate(request).tokens)
            engine.stop()
        }
        let directory = NSTemporaryDirectory() + "deltakv-texts-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let tight = EngineSettings(
            maxSequences: 64, rowsPerStep: 512, kvBytes: 80 << 20, sparse: Self.sparse, turnTokens: 6)
        let batch = try coded.engine(coded.store(directory), tight)
        #expect(try await texts(of: requests, in: batch) == alone)
        let again = try await generations(of: requests.shuffled(), in: batch)
        #expect(again.reduce(0) { $0 + $1.cachedTokens } > 0)
        #expect(try await texts(of: requests, in: batch) == alone)
        batch.stop()
        let small = EngineSettings(maxSequences: 5, rowsPerStep: 70, kvBytes: 160 << 20, sparse: Self.sparse)
        let restored = try coded.engine(coded.store(directory), small)
        let results = try await generations(of: requests, in: restored)
        #expect(results.map(\.tokens) == alone)
        #expect(results.reduce(0) { $0 + $1.cachedTokens } > 0)
        restored.stop()
    }

    /// Prompts of 20 to 1,500 tokens; two in three begin as an earlier one does, for a part of any length.
    private func requests() -> [GenerationRequest] {
        var random = SplitMix(state: Self.seed), requests: [GenerationRequest] = []
        for index in 0..<Self.jobs {
            let length = Int.random(in: 20...1500, using: &random)
            var prompt: [TokenID] = []
            if let earlier = requests.randomElement(using: &random), Int.random(in: 0..<3, using: &random) > 0 {
                prompt = Array(earlier.prompt.prefix(Int.random(in: 1...length, using: &random)))
            }
            while prompt.count < length { prompt.append(TokenID(Int.random(in: 100..<40_000, using: &random))) }
            var request = GenerationRequest(
                prompt: prompt, maxTokens: Int.random(in: 1...24, using: &random), ignoresEndOfText: true)
            if index % 2 == 1 {
                request.sampling.temperature = 0.9
                request.sampling.topP = 0.95
                request.sampling.seed = UInt64(index)
            }
            requests.append(request)
        }
        return requests
    }

    private func texts(of requests: [GenerationRequest], in engine: GenerationEngine) async throws -> [[TokenID]] {
        try await generations(of: requests, in: engine).map(\.tokens)
    }

    private func generations(
        of requests: [GenerationRequest], in engine: GenerationEngine
    ) async throws -> [Generation] {
        try await withThrowingTaskGroup(of: (Int, Generation).self) { group in
            for (index, request) in requests.enumerated() {
                group.addTask { (index, try await engine.generate(request)) }
            }
            return try await group.reduce(into: [(Int, Generation)]()) { $0.append($1) }
                .sorted { $0.0 < $1.0 }.map(\.1)
        }
    }
}
