// SPDX-License-Identifier: Apache-2.0

import Testing
import Tokenization

@testable import Engine

/// Sequences that make room for others and go on later: their texts are those that they have alone.
@Suite(.serialized) struct TurnsTests {
    private let coded: CodedModel

    init() throws { coded = try CodedModel.shared.get() }

    /// Bytes that a page of the default model takes, with coded rows.
    private var page: Int { coded.pageBytes }

    /// Six prompts of their own; the first two ask about one document.
    private var requests: [GenerationRequest] {
        (0..<6).map { index in
            var request = coded.request("Question \(index)?", repeats: 14 + 4 * (index / 2), salt: [UInt8(index / 2)])
            request.prompt[3] = TokenID(1000 + max(1, index))
            request.maxTokens = 50
            request.ignoresEndOfText = true
            return request
        }
    }

    private func alone() async throws -> [[TokenID]] {
        let engine = try coded.engine()
        defer { engine.stop() }
        var texts: [[TokenID]] = []
        for request in requests { texts.append(try await engine.generate(request).tokens) }
        return texts
    }

    /// Pages that the longest of them may fill.
    private var longest: Int { requests.map { ($0.prompt.count + $0.maxTokens + 63) / 64 }.max() ?? 0 }

    /// With memory for some at a time, and with so little that what waiting ones have laid aside is in the way of the next and has to
    /// be computed again.
    @Test(arguments: [2.2, 1.0]) func takingTurnsChangesNoText(_ room: Double) async throws {
        let requests = requests, expected = try await alone()
        let pages = Int(Double(longest) * room)
        let engine = try coded.engine(nil, EngineSettings(kvBytes: pages * page, turnTokens: 7))
        defer { engine.stop() }
        let results = try await withThrowingTaskGroup(of: (Int, Generation).self) { group in
            for (index, request) in requests.enumerated() {
                group.addTask { (index, try await engine.generate(request)) }
            }
            return try await group.reduce(into: [Int: Generation]()) { $0[$1.0] = $1.1 }
        }
        for index in requests.indices { #expect(results[index]?.tokens == expected[index]) }
        // What a sequence gave up itself and took again is no saving; only one of two prompts that begin alike finds anything.
        #expect(results.values.filter { $0.cachedTokens > 0 }.count <= 1)
        #expect(engine.load.suspensions > requests.count)
        let load = engine.load, c = coded.test.model.configuration
        // Beside pages and coded rows: rows of prompts under way.
        let rows = 4 * c.layers * 256 * 2 * c.kvHeads * c.headDimension
        #expect(load.kvPeakMemory > longest * page * 3 / 4 + rows)
        #expect(load.kvPeakMemory <= pages * page * 5 / 4 + 4 * rows)
    }

    /// A request that is taken back while it waits for another turn leaves nothing behind: the rest of memory serves others.
    @Test func aWaitingSequenceCanBeTakenBack() async throws {
        let requests = requests, expected = try await alone()
        let engine = try coded.engine(nil, EngineSettings(kvBytes: longest * page, turnTokens: 5))
        defer { engine.stop() }
        let tickets = requests.map { _ in engine.ticket() }
        let tasks = zip(requests, tickets).map { request, ticket in
            Task { try await engine.generate(request, ticket: ticket) }
        }
        while engine.load.suspensions < 8 { try await Task.sleep(for: .milliseconds(5)) }
        for ticket in tickets.dropLast() { engine.cancel(ticket) }
        #expect(try await tasks[5].value.tokens == expected[5])
        for task in tasks.dropLast() { _ = await task.result }
        #expect(try await engine.generate(requests[0]).tokens == expected[0])
    }
}
