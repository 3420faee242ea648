// SPDX-License-Identifier: Apache-2.0
import Foundation
import Inference
import Kernels
import ModelFiles
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

    /// In layers with a sliding window a full budget is exact too, and a window's tokens are enough for it.
    @Test(arguments: ["mistral-window-80", "qwen2-window-64"])
    func windowsAreKeptTo(_ name: String) throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("InferenceTests/Golden/architectures/\(name)").path
        let model = try LanguageModel(ModelFile(path: path), form: .float32)
        let window = try #require(model.configuration.attentionWindows.compactMap(\.self).first)
        let runner = try HistoryRunner(model: model, threads: ThreadPool(threads: 2))
        var random = SeededGenerator(seed: 4)
        let history = 640, tokens = (0..<960).map { _ in Int32(random.below(64)) }
        let recorder = try HistoryRecorder(shape: runner.shape, ends: [history])
        var exact: [[Float]] = []
        try runner.prefill(tokens[...], recorder: recorder, scored: [history..<960]) { exact.append(Array($1)) }
        let past = recorder.history(of: tokens[..<history])
        func distance(_ policy: any CachePolicy) throws -> Float {
            try runner.install(policy.compress(past), of: past)
            var found: [[Float]] = []
            try runner.score(tokens[history...], position: history) { found.append(Array($1)) }
            #expect(found.count == exact.count)
            return zip(found.joined(), exact.joined()).reduce(0) { max($0, abs($1.0 - $1.1)) }
        }
        let all = TokenBudget.tokens(history)
        for policy: any CachePolicy in [
            StreamingPolicy(budget: all), SnapKVPolicy(budget: all), QuestPolicy(budget: all),
            OmniKVPolicy(budget: all),
        ] {
            #expect(try distance(policy) < 1e-3, "\(policy.name)")
        }
        // Where all layers slide, nothing before the window counts.
        let inWindow = try distance(StreamingPolicy(budget: .tokens(window + ExactEnds().sinks)))
        if model.configuration.attentionWindows.allSatisfy({ $0 != nil }) {
            #expect(inWindow < 1e-3)
        } else {
            #expect(inWindow > 0.01)
        }
        // Continuations that do not see each other.
        var apart: [[Float]] = []
        try runner.install(StreamingPolicy(budget: all).compress(past), of: past)
        try runner.scoreApart([tokens[history..<700], tokens[history..<690]], position: history) {
            apart.append(Array($2))
        }
        let wanted = exact[..<60] + exact[..<50]
        #expect(apart.count == wanted.count)
        #expect(zip(apart.joined(), wanted.joined()).allSatisfy { abs($0 - $1) < 1e-3 })
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
