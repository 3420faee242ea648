// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import Testing

@testable import Inference

/// What `config.json` may say, and what is refused.
@Suite struct FolderConfigurationTests {
    private func load<Result>(_ name: String, _ changes: [(String, String)], _ body: (ModelFile) throws -> Result)
        throws
        -> Result
    {
        let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Golden/architectures/\(name)")
        let copy = FileManager.default.temporaryDirectory.appendingPathComponent("deltakv-\(UUID().uuidString)")
        try FileManager.default.copyItem(at: source, to: copy)
        defer { try? FileManager.default.removeItem(at: copy) }
        let url = copy.appendingPathComponent("config.json")
        var text = try String(contentsOf: url, encoding: .utf8)
        for (old, new) in changes {
            try #require(text.contains(old), "\(old)")
            text = text.replacingOccurrences(of: old, with: new)
        }
        try Data(text.utf8).write(to: url)
        return try body(ModelFile(path: copy.path))
    }

    @Test(arguments: [
        ("\"model_type\": \"llama\"", "\"model_type\": \"mamba\""),
        ("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\""),
        ("\"attention_bias\": false", "\"attention_bias\": true"), ("\"mlp_bias\": false", "\"mlp_bias\": true"),
        ("\"hidden_size\": 48", "\"hidden_size\": 0"), ("\"hidden_size\": 48", "\"hidden_size\": 1e9"),
        ("\"hidden_size\": 48", "\"hidden_size\": \"48\""), ("\"hidden_size\"", "\"other\""),
        ("\"head_dim\": 64", "\"head_dim\": 24"), ("\"num_key_value_heads\": 1", "\"num_key_value_heads\": 2"),
        ("\"rope_type\": \"llama3\"", "\"rope_type\": \"longrope\""), ("\"factor\": 8.0", "\"factor\": 0"),
        ("\"high_freq_factor\": 4.0", "\"high_freq_factor\": 1.0"), ("\"rope_theta\": 500000.0", "\"rope_theta\": -1"),
        ("\"rope_type\": \"llama3\"", "\"rope_type\": 3"), ("\"vocab_size\": 64", "\"vocab_size\": 65"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1"),
        ("\"vocab_size\": 64", "\"vocab_size\": 64, \"quantization_config\": {}"),
        ("\"factor\": 8.0", "\"factor\": 8.0, \"partial_rotary_factor\": 0.5"),
    ])
    func whatCannotBeRunIsRefused(_ old: String, _ new: String) throws {
        try load("llama-llama3-64", []) { _ = try LanguageModel($0, form: .float32) }
        #expect(throws: (any Error).self) {
            try load("llama-llama3-64", [(old, new)]) { _ = try LanguageModel($0, form: .float32) }
        }
    }

    @Test func theTensorThatIsMissingIsNamedAsInTheFolder() throws {
        let error = #expect(throws: GGUFError.self) {
            try load("llama-llama3-64", [("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3")]) {
                try LanguageModel.check($0)
            }
        }
        #expect(error?.description.contains("“model.layers.2.") == true)
    }

    /// YaRN's context is that after scaling, whatever `max_position_embeddings` counts.
    @Test func contextsBeforeScaling() throws {
        let change = ("\"max_position_embeddings\": 4096", "\"max_position_embeddings\": 512")
        let found = try load("qwen2-yarn-96", [change]) { try ModelConfiguration($0).contextLength }
        #expect(found == 8 * 512)
    }

    @Test func layersThatSlide() throws {
        func windows(_ changes: [(String, String)]) throws -> [Int?] {
            try load("qwen2-window-64", changes) { try ModelConfiguration($0).attentionWindows }
        }
        #expect(try windows([]) == [nil, 65, 65])
        #expect(try windows([("\"use_sliding_window\": true", "\"use_sliding_window\": false")]) == [nil, nil, nil])
        #expect(try windows([("\"sliding_window\": 65", "\"sliding_window\": 5000")]) == [nil, nil, nil])
        #expect(try windows([("\"layer_types\"", "\"x\"")]) == [nil, 65, 65])
        #expect(throws: InferenceError.self) { try windows([("full_attention", "chunked_attention")]) }
    }
}
