// SPDX-License-Identifier: Apache-2.0
import Kernels
import Testing

@testable import Evaluation

@Suite struct SelectionTests {
    /// With room for all tokens every selection is exact attention; with little room it is not, and differs between policies.
    @Test func aFullBudgetIsExact() throws {
        let loaded = try TestModel.load(), runner = try loaded.runner()
        let tokens = loaded.text(430), history = 400
        let recorder = try HistoryRecorder(shape: runner.shape, ends: [history])
        var exact: [[Float]] = []
        try runner.prefill(tokens[...], recorder: recorder, scored: [history..<430]) { exact.append(Array($1)) }
        func logits(_ policy: any CachePolicy) throws -> [[Float]] {
            let past = recorder.history(of: tokens[..<history])
            try runner.install(policy.compress(past), of: past)
            var found: [[Float]] = []
            try runner.score(tokens[history...], position: history) { found.append(Array($1)) }
            return found
        }
        let catalogue = PolicyCatalogue(
            threads: try ThreadPool(threads: 2), compressor: { _ in throw EvaluationError.unknownPolicy("deltakv") },
            paperCompressor: { _ in throw EvaluationError.unknownPolicy("paper") })
        func distance(_ name: String) throws -> Float {
            let found = try logits(catalogue.policy(named: name))
            #expect(found.count == 30)
            return zip(found.joined(), exact.joined()).reduce(0) { max($0, abs($1.0 - $1.1)) }
        }
        for name in ["streaming-400", "snapkv-400", "quest-400", "omnikv-400"] {
            #expect(try distance(name) < 1e-3, "\(name)")
        }
        var seen: Set<Float> = []
        for name in ["streaming-160", "snapkv-160", "quest-32", "omnikv-32"] {
            let far = try distance(name)
            #expect(far > 0.01 && far.isFinite, "\(name)")
            #expect(seen.insert(far).inserted)
        }
        #expect(try logits(HalfPolicy()) == logits(HalfPolicy()))
    }

    /// What is stored from a recording is what the model had computed.
    @Test func anUntouchedHistoryIsExactBitForBit() throws {
        struct Untouched: CachePolicy {
            let name = "untouched"
            func compress(_ history: History) -> CompressedHistory {
                CompressedHistory(bytes: CacheBytes(memory: 2 * history.exactBytes))
            }
        }
        let loaded = try TestModel.load(), runner = try loaded.runner(), tokens = loaded.text(200)
        let recorder = try HistoryRecorder(shape: runner.shape, ends: [150])
        var exact: [[Float]] = [], found: [[Float]] = []
        try runner.prefill(tokens[...], recorder: recorder, scored: [150..<200]) { exact.append(Array($1)) }
        let history = recorder.history(of: tokens[..<150])
        try runner.install(Untouched().compress(history), of: history)
        try runner.score(tokens[150...], position: 150) { found.append(Array($1)) }
        #expect(exact == found && exact.count == 50)
    }

    @Test func topScoresAreTheLargest() {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<200 {
            let scores = (0..<random.below(40)).map { _ in Float(random.below(8)) }, count = random.below(45)
            let found = TopScores.positions(of: scores, count: count)
            let wanted = scores.indices.sorted { (-scores[$0], $0) < (-scores[$1], $1) }.prefix(count).sorted()
            #expect(found == wanted)
        }
    }

    @Test func observationLayersSuitEveryDepth() {
        #expect(OmniKVPolicy.defaultLayers(of: 30) == [0, 2, 7, 14, 20])
        for layers in 1...80 {
            let found = OmniKVPolicy.defaultLayers(of: layers)
            #expect(found.first == 0 && found.allSatisfy { $0 < layers })
        }
    }
}
