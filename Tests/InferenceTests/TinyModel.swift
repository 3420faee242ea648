// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles

@testable import Inference

/// A GGUF file of a tiny llama with random fp32 weights, whose parts tests can bend.
struct TinyModel {
    enum Value {
        case int(UInt32), float(Float), string(String)
    }

    var metadata: [String: Value] = [
        "general.architecture": .string("llama"), "llama.block_count": .int(2), "llama.embedding_length": .int(32),
        "llama.attention.head_count": .int(4), "llama.attention.head_count_kv": .int(2),
        "llama.attention.key_length": .int(16), "llama.attention.value_length": .int(16),
        "llama.feed_forward_length": .int(40), "llama.context_length": .int(256),
        "llama.attention.layer_norm_rms_epsilon": .float(1e-5), "llama.rope.freq_base": .float(10000),
    ]
    var tensors: [String: (shape: [Int], values: [Float])] = [:]

    init() {
        var shapes: [(String, [Int])] = [
            ("token_embd.weight", [32, 50]), ("output_norm.weight", [32]), ("output.weight", [32, 50]),
        ]
        for layer in 0..<2 {
            shapes += [
                ("attn_norm", [32]), ("attn_q", [32, 64]), ("attn_k", [32, 32]), ("attn_v", [32, 32]),
                ("attn_output", [64, 32]), ("ffn_norm", [32]), ("ffn_gate", [32, 40]), ("ffn_up", [32, 40]),
                ("ffn_down", [40, 32]),
            ].map { ("blk.\(layer).\($0.0).weight", $0.1) }
        }
        for (index, (name, shape)) in shapes.enumerated() {
            let raw = ids(shape.reduce(1, *), below: 2001, seed: UInt32(index + 1))
            tensors[name] = (shape, raw.map { Float($0 - 1000) / 4000 + (shape.count == 1 ? 1 : 0) })
        }
    }

    func load() throws -> LanguageModel {
        let path = NSTemporaryDirectory() + "deltakv-tiny-\(UUID().uuidString).gguf"
        try data().write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try LanguageModel(file: GGUFFile(path: path), form: .float32)
    }

    private func data() -> Data {
        var data = Data("GGUF".utf8)
        func number<Number>(_ value: Number) { withUnsafeBytes(of: value) { data.append(contentsOf: $0) } }
        func text(_ value: String) {
            number(UInt64(value.utf8.count))
            data.append(contentsOf: value.utf8)
        }
        number(UInt32(3))
        number(UInt64(tensors.count))
        number(UInt64(metadata.count))
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            text(key)
            switch value {
            case .int(let value): number(UInt32(4)); number(value)
            case .float(let value): number(UInt32(6)); number(value)
            case .string(let value): number(UInt32(8)); text(value)
            }
        }
        let order = tensors.sorted { $0.key < $1.key }
        var offset = 0
        for (name, tensor) in order {
            text(name)
            number(UInt32(tensor.shape.count))
            tensor.shape.forEach { number(UInt64($0)) }
            number(UInt32(0))
            number(UInt64(offset))
            offset += (tensor.values.count * 4 + 31) / 32 * 32
        }
        while data.count % 32 != 0 { data.append(0) }
        for (_, tensor) in order {
            tensor.values.forEach { number($0) }
            while data.count % 32 != 0 { data.append(0) }
        }
        return data
    }
}
