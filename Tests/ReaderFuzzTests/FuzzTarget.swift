// SPDX-License-Identifier: Apache-2.0
import Foundation
import Inference
import Testing
import Tokenization

@testable import ModelFiles

/// A reader of untrusted files and what it is fed.
struct FuzzTarget: Sendable, CustomTestStringConvertible {
    let name: String
    /// Good inputs.
    let seeds: @Sendable () throws -> [[UInt8]]
    /// What belongs into such inputs.
    let words: [String]
    /// The names under which a model's folder has the input, and the folder's other files.
    var names: [String] = []
    var fixed: @Sendable () throws -> [String: Data] = { [:] }
    /// Reads everything that the input offers. Throws for what is refused.
    let read: @Sendable (InputFile) throws -> Void

    var testDescription: String { name }

    static let all = [gguf, safetensors, tokenizer, configuration]

    static let gguf = FuzzTarget(
        name: "GGUF",
        seeds: {
            try [
                "ModelFilesTests/Golden/metadata.gguf", "ModelFilesTests/Golden/q4_1.gguf",
                "ModelFilesTests/Golden/q6_k_random.gguf", "ModelFilesTests/Golden/q8_0_random.gguf",
            ].map(golden) + [SmallFiles.tokenizerGGUF]
        },
        words: [
            "general.architecture", "tokenizer.ggml.tokens", "split.count", "llama.block_count", "blk.0.attn_q.weight",
            "llama.attention.sliding_window_pattern", "general.sampling.temp", "tekken", "deepseek-r1-qwen",
        ],
        read: { input in
            let file = try GGUFFile(path: input.path)
            for key in file.metadata.keys {
                _ = try? file.metadata.string(key)
                _ = try? file.metadata.int(key)
                _ = try? file.metadata.float(key)
                _ = try? file.metadata.bool(key)
                _ = try? file.metadata.strings(key)
                _ = try? file.metadata.ints(key)
                _ = try? file.metadata.boolsIfPresent(key)
                _ = try? file.metadata.floats(key)
            }
            for tensor in file.tensors { _ = try? tensor.dequantized() }
            try? LanguageModel.check(.gguf(file))
            tryTokenizer { try Tokenizer(file: file) }
        })

    static let safetensors = FuzzTarget(
        name: "safetensors",
        seeds: {
            try [
                golden("ModelFilesTests/Golden/hf/model-00001-of-00002.safetensors"),
                golden("ModelFilesTests/Golden/hf/model-00002-of-00002.safetensors"),
            ]
        }, words: json + ["\"dtype\":\"BF16\"", "\"shape\":[0]", "\"data_offsets\":[0,8]", "\"__metadata__\":"],
        read: { input in
            for tensor in try SafetensorsFile(path: input.path).tensors { _ = try? tensor.dequantized() }
        })

    static let tokenizer = FuzzTarget(
        name: "tokenizer.json", seeds: { [SmallFiles.byteLevelJSON, SmallFiles.sentencePieceJSON] },
        words: json + [
            "\"added_tokens\":", "\"Metaspace\"", "\"id\":99999999", "\"\\ud800\"", "\"<0x41>\":", "\"merges\":",
            "\"lstrip\":true", "\"rstrip\":true", "\"single_word\":true", "\"normalized\":true",
        ],
        names: ["tokenizer.json"], fixed: { ["config.json": Data("{}".utf8), "model.safetensors": noTensors] },
        read: { input in
            let folder = try HuggingFaceFolder(path: input.folder.path)
            _ = try folder.tokenizer()
            tryTokenizer { try Tokenizer(folder: folder) }
        })

    static let configuration = FuzzTarget(
        name: "config.json",
        seeds: {
            try ["llama-llama3-64", "mistral-window-80", "qwen2-window-64", "qwen3-yarn-64"].map {
                try golden("InferenceTests/Golden/architectures/\($0)/config.json")
            }
        }, words: json + ["\"rope_scaling\":", "\"factor\":0", "\"sliding_window\":1", "\"head_dim\":16"],
        names: ["config.json", "generation_config.json", "tokenizer_config.json"],
        fixed: { ["model.safetensors": noTensors] },
        read: { input in
            let folder = try HuggingFaceFolder(path: input.folder.path)
            _ = try? folder.generation()
            _ = try? folder.chatTemplate()
            _ = try ModelConfiguration(folder: folder)
            // There are no tensors, which is found last.
            try? LanguageModel.check(.folder(folder))
        })

    private static let json = [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "null", "true", "-1", "0", "1e999", "-0.0", "9223372036854775807",
        "9223372036854775808", "\"\\u0000\"", "\"\\ud83d\\ude00\"", String(repeating: "[", count: 600),
        String(repeating: "{\"a\":", count: 300),
    ]

    /// A safetensors file without tensors.
    private static let noTensors = Data([2, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8))

    private static func tryTokenizer(_ make: () throws -> Tokenizer) {
        guard let tokenizer = try? make() else { return }
        // Names of control tokens in what a template says, at its ends and inside of words.
        _ = try? tokenizer.encode([.text("é "), .markup("<s> \n<|end|>x <|end|>"), .text("_ "), .markup("<|end|>")])
        _ = tokenizer.decode(tokenizer.encode("Some text, 42 words — naïve 漢字 🙂 don't  \n"))
    }
}

/// A file of the tests beside this target.
private func golden(_ name: String) throws -> [UInt8] {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return [UInt8](try Data(contentsOf: tests.appendingPathComponent(name)))
}
