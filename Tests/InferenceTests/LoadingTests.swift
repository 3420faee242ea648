// SPDX-License-Identifier: Apache-2.0
import Kernels
import ModelFiles
import Testing

@testable import Inference

/// Files that do not fit give typed errors, never traps or wild allocations.
@Suite struct LoadingTests {
    private func error(_ change: (inout TinyModel) -> Void) -> InferenceError? {
        var model = TinyModel()
        change(&model)
        do {
            _ = try model.load()
            return nil
        } catch {
            return error as? InferenceError
        }
    }

    @Test func readsTheDefaultModel() throws {
        let c = try DefaultModel.get().configuration
        #expect((c.layers, c.hidden, c.heads, c.kvHeads) == (30, 576, 9, 3))
        #expect((c.headDimension, c.feedForward, c.vocabulary, c.contextLength) == (64, 1536, 49152, 8192))
        #expect(c.ropeTheta == 100_000 && c.rmsEpsilon == 1e-5)
    }

    @Test func untouchedTinyModelLoads() { #expect(error { _ in } == nil) }

    @Test func namesWhatIsUnsupported() {
        #expect(error { $0.metadata["general.architecture"] = .string("mamba") } == .unsupportedArchitecture("mamba"))
        let changes: [(String, TinyModel.Value)] = [
            ("llama.rope.scaling.type", .string("longrope")),
            ("llama.expert_count", .int(8)),
            ("llama.rope.dimension_count", .int(8)), ("llama.attention.value_length", .int(32)),
            ("llama.attention.key_length", .int(8)),
        ]
        for (key, value) in changes {
            guard case .unsupportedFeature(let text) = error({ $0.metadata[key] = value }) else {
                Issue.record("\(key) was accepted")
                continue
            }
            #expect(!text.isEmpty)
        }
        for name in [
            "blk.0.attn_q_norm.weight", "blk.0.attn_q.bias", "blk.2.attn_q.weight", "blk.0.ffn_gate_exps.weight",
        ] {
            guard case .unsupportedFeature(let text) = error({ $0.tensors[name] = ([4], [1, 1, 1, 1]) }) else {
                Issue.record("\(name) was accepted")
                continue
            }
            #expect(text.contains(name))
        }
    }

    @Test func windowsOfFiles() throws {
        func windows(_ window: UInt32) throws -> [Int?] {
            var model = TinyModel()
            model.metadata["llama.attention.sliding_window"] = .int(window)
            return try model.load().configuration.attentionWindows
        }
        #expect(try windows(128) == [128, 128])
        #expect(try windows(0) == [nil, nil] && windows(256) == [nil, nil])
    }

    @Test(arguments: [
        "llama.block_count", "llama.embedding_length", "llama.attention.head_count", "llama.attention.head_count_kv",
        "llama.attention.key_length", "llama.feed_forward_length", "llama.context_length",
    ])
    func lyingNumbers(_ key: String) {
        for value in [UInt32(0), 3, 1 << 10, 1 << 31, .max] {
            // A context length within bounds is a fact of the model, not a lie.
            if key == "llama.context_length", value > 0, value < 1 << 24 { continue }
            var model = TinyModel()
            model.metadata[key] = .int(value)
            #expect(throws: (any Error).self, "\(key) = \(value)") { try model.load() }
        }
    }

    @Test func lyingFloats() {
        for key in ["llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base"] {
            for value: Float in [0, -1, .nan, .infinity] {
                guard case .invalidConfiguration = error({ $0.metadata[key] = .float(value) }) else {
                    Issue.record("\(key) = \(value) was accepted")
                    continue
                }
            }
        }
    }

    @Test func slidingLayersAreThoseOfThePattern() throws {
        func windows(_ pattern: UInt32?, _ window: UInt32 = 100) throws -> [Int?] {
            var model = TinyModel()
            model.metadata["llama.attention.sliding_window"] = .int(window)
            model.metadata["llama.attention.sliding_window_pattern"] = pattern.map(TinyModel.Value.int)
            return try model.load().configuration.attentionWindows
        }
        #expect(try windows(nil) == [100, 100] && windows(0) == [100, 100] && windows(3) == [100, 100])
        #expect(try windows(2) == [100, nil] && windows(1) == [nil, nil] && windows(2, 256) == [nil, nil])
    }

    @Test func rotaryScalings() {
        #expect(error { $0.metadata["llama.rope.scaling.factor"] = .float(4) } == nil)
        #expect(error { $0.metadata["llama.attention.sliding_window"] = .int(256) } == nil)
        for factor: Float in [-1, .nan, .infinity] {
            let refused = error { $0.metadata["llama.rope.scaling.factor"] = .float(factor) }
            guard case .invalidConfiguration = refused else {
                Issue.record("the factor \(factor) was accepted")
                continue
            }
        }
        func yarn(_ context: UInt32, _ change: (inout TinyModel) -> Void = { _ in }) -> InferenceError? {
            error {
                $0.metadata["llama.rope.scaling.type"] = .string("yarn")
                $0.metadata["llama.rope.scaling.factor"] = .float(2)
                $0.metadata["llama.rope.scaling.original_context_length"] = .int(context)
                change(&$0)
            }
        }
        #expect(yarn(128) == nil)
        #expect(yarn(0) != nil)
        #expect(yarn(128) { $0.metadata["llama.rope.freq_base"] = .float(1) } != nil)
        #expect(yarn(128) { $0.metadata["llama.rope.scaling.yarn_ext_factor"] = .float(0.5) } != nil)
    }

    @Test func rotaryFactors() {
        func factors(_ values: [Float]) -> InferenceError? {
            error { $0.tensors["rope_freqs.weight"] = ([values.count], values) }
        }
        #expect(factors(Array(repeating: 2, count: 8)) == nil)
        #expect(
            factors([1, 1, 1, 1]) == .wrongShape(tensor: "rope_freqs.weight", expected: [8], found: [4]))
        for wrong: Float in [0, -1, .nan] { #expect(factors(Array(repeating: wrong, count: 8)) != nil) }
    }

    @Test func wrongShapesAndValues() {
        #expect(
            error { $0.tensors["blk.1.attn_k.weight"] = ([32, 31], Array(repeating: 0, count: 992)) }
                == .wrongShape(tensor: "blk.1.attn_k.weight", expected: [32, 32], found: [32, 31]))
        #expect(
            error { $0.tensors["blk.0.ffn_up.weight"]?.values[77] = .infinity }
                == .nonFiniteWeight(tensor: "blk.0.ffn_up.weight"))
        #expect(
            error { $0.tensors["output_norm.weight"]?.values[3] = .nan }
                == .nonFiniteWeight(tensor: "output_norm.weight"))
    }

    @Test func missingTensor() throws {
        var model = TinyModel()
        model.tensors["blk.1.ffn_down.weight"] = nil
        #expect(throws: GGUFError.self) { try model.load() }
    }

    /// GGUF keeps rotary pairs side by side; in memory they are halves.
    @Test func reordersRotaryRows() {
        #expect((0..<8).map { WeightLoader.pairedRow($0, head: 8) } == [0, 2, 4, 6, 1, 3, 5, 7])
        #expect((8..<16).map { WeightLoader.pairedRow($0, head: 8) } == [8, 10, 12, 14, 9, 11, 13, 15])
    }
}
