// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Engine

/// Pages as the engine would hand them out.
private struct Pages {
    var free: Int
    private(set) var held: [UInt64: Int] = [:]

    init(_ free: Int) { self.free = free }

    mutating func reserve(_ id: UInt64, tokens: Int) -> Int? {
        let count = (tokens + 3) / 4
        guard count <= free else { return nil }
        free -= count
        held[id] = count
        return 0
    }

    mutating func release(_ id: UInt64) { free += held.removeValue(forKey: id) ?? 0 }
}

@Suite struct SchedulerTests {
    private let limits = Scheduler.Limits(sequences: 3, rows: 8, pageTokens: 4, pages: 10)

    @Test func decodingComesFirstAndPromptsFillTheRest() {
        var scheduler = Scheduler(limits: limits)
        scheduler.enqueue(1, givenTokens: 3, capacity: 6)
        scheduler.admit { _, _ in 0 }
        #expect(scheduler.runningIDs == [1])
        let first = scheduler.plan()
        #expect(first == [.init(id: 1, positions: 0..<3, choosesToken: true)])
        first.forEach { scheduler.complete($0) }

        scheduler.enqueue(2, givenTokens: 10, capacity: 12)
        scheduler.admit { _, _ in 0 }
        let second = scheduler.plan()
        #expect(
            second == [
                .init(id: 1, positions: 3..<4, choosesToken: true),
                .init(id: 2, positions: 0..<7, choosesToken: false),
            ])
        second.forEach { scheduler.complete($0) }
        #expect(scheduler.plan().last == .init(id: 2, positions: 7..<10, choosesToken: true))
    }

    @Test func admissionKeepsTheOrderAndThePageBudget() {
        var scheduler = Scheduler(limits: limits)
        scheduler.enqueue(1, givenTokens: 20, capacity: 24)  // 6 pages
        scheduler.enqueue(2, givenTokens: 20, capacity: 24)  // 6 pages: must wait
        scheduler.enqueue(3, givenTokens: 1, capacity: 2)  // would fit, but came later
        var pages = Pages(10)
        scheduler.admit { pages.reserve($0, tokens: $1) }
        #expect(scheduler.runningIDs == [1] && pages.free == 4)
        let isRunning = scheduler.remove(1)
        #expect(isRunning)
        pages.release(1)
        scheduler.admit { pages.reserve($0, tokens: $1) }
        #expect(scheduler.runningIDs == [2, 3])
        let isKnown = scheduler.remove(99)
        #expect(!isKnown)
    }

    @Test func aWaitingSequenceCanBeRemoved() {
        var scheduler = Scheduler(limits: limits)
        scheduler.enqueue(1, givenTokens: 4, capacity: 8)
        let isRunning = scheduler.remove(1)
        #expect(!isRunning)
        #expect(scheduler.isEmpty)
        #expect(scheduler.plan().isEmpty)
    }

    /// Over random arrivals and departures: pages are conserved, rows stay in bounds, every sequence's positions come
    /// once each and in order, and everything ends.
    @Test(arguments: 0..<50) func randomCoursesKeepTheRules(seed: Int) {
        var random = SplitMix64(seed: UInt64(seed), stream: 0)
        var scheduler = Scheduler(limits: limits)
        var computed: [UInt64: Int] = [:]
        var pages = Pages(limits.pages)
        var left: [UInt64: Int] = [:]
        var nextID: UInt64 = 0
        for step in 0..<200 {
            if step < 100, Int.random(in: 0..<3, using: &random) == 0 {
                nextID += 1
                let prompt = Int.random(in: 1...30, using: &random)
                let output = Int.random(in: 1...10, using: &random)
                scheduler.enqueue(nextID, givenTokens: prompt, capacity: prompt + output)
                computed[nextID] = 0
                left[nextID] = output
            }
            scheduler.admit { pages.reserve($0, tokens: $1) }
            #expect(scheduler.runningIDs.count == pages.held.count && pages.held.count <= limits.sequences)
            let work = scheduler.plan()
            #expect(work.reduce(0) { $0 + $1.positions.count } <= limits.rows)
            #expect(work.isEmpty == pages.held.isEmpty)
            for item in work {
                #expect(computed[item.id] == item.positions.lowerBound)
                computed[item.id] = item.positions.upperBound
                scheduler.complete(item)
                if item.choosesToken { left[item.id]! -= 1 }
                if left[item.id] == 0 {
                    let isRunning = scheduler.remove(item.id)
                    #expect(isRunning)
                    pages.release(item.id)
                }
            }
        }
        while !scheduler.isEmpty {
            scheduler.admit { pages.reserve($0, tokens: $1) }
            for item in scheduler.plan() {
                scheduler.complete(item)
                if item.choosesToken { left[item.id]! -= 1 }
                if left[item.id] == 0 {
                    scheduler.remove(item.id)
                    pages.release(item.id)
                }
            }
        }
        #expect(pages.free == limits.pages)
    }

    /// A sequence that has had its turn goes to the end of the line and begins anew, with the tokens that it has.
    @Test func aSequenceGetsInLineAgain() {
        var scheduler = Scheduler(limits: limits), pages = Pages(10)
        scheduler.enqueue(1, givenTokens: 20, capacity: 24)
        scheduler.enqueue(2, givenTokens: 5, capacity: 24)
        scheduler.admit { pages.reserve($0, tokens: $1) }
        #expect(scheduler.waitsForPages && scheduler.waitingIDs == [2])
        for _ in 0..<4 { scheduler.plan().forEach { scheduler.complete($0) } }
        // The third step ended the prompt and chose a token, the fourth chose another.
        #expect(scheduler.idsThatHadTheirTurn(tokens: 3).isEmpty)
        #expect(scheduler.idsThatHadTheirTurn(tokens: 2) == [1])
        scheduler.suspend(1)
        pages.release(1)
        scheduler.admit { pages.reserve($0, tokens: $1) }
        #expect(scheduler.runningIDs == [2] && scheduler.waitingIDs == [1])
        #expect(scheduler.plan() == [.init(id: 2, positions: 0..<5, choosesToken: true)])
        scheduler.remove(2)
        pages.release(2)
        scheduler.admit { pages.reserve($0, tokens: $1) }
        #expect(!scheduler.waitsForPages)
        scheduler.advance(1, to: 20)
        #expect(scheduler.plan() == [.init(id: 1, positions: 20..<22, choosesToken: true)])
        #expect(scheduler.idsThatHadTheirTurn(tokens: 1).isEmpty)
    }

    @Test func segmentedPromptsAreTakenUpToASegmentsEnd() {
        var scheduler = Scheduler(limits: limits)
        scheduler.enqueue(1, givenTokens: 11, capacity: 12, segmentEnds: [4, 8])
        scheduler.enqueue(2, givenTokens: 11, capacity: 12, segmentEnds: [4, 8])
        scheduler.admit { id, _ in id == 2 ? 4 : 0 }
        let first = scheduler.plan()
        #expect(
            first == [
                .init(id: 1, positions: 0..<4, choosesToken: false),
                .init(id: 2, positions: 4..<8, choosesToken: false),
            ])
        first.forEach { scheduler.complete($0) }
        scheduler.advance(1, to: 8)
        // What is left over belongs to no segment.
        let last = scheduler.plan()
        #expect(
            last == [
                .init(id: 1, positions: 8..<11, choosesToken: true),
                .init(id: 2, positions: 8..<11, choosesToken: true),
            ])
        #expect(scheduler.plan(without: [1]).map(\.id) == [2])
    }
}
