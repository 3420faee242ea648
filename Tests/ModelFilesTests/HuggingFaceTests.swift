// SPDX-License-Identifier: Apache-2.0
import Foundation
import SeededRandom
import Testing

@testable import ModelFiles

/// A folder written by the safetensors library.
@Suite final class HuggingFaceTests {
    private let folder = scratch.appendingPathComponent("deltakv-\(UUID().uuidString)")

    init() throws { try FileManager.default.copyItem(at: golden.appendingPathComponent("hf"), to: folder) }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: folder.appendingPathComponent(name))
    }

    private func refusal(_ location: SourceLocation = #_sourceLocation) -> String? {
        (#expect(throws: GGUFError.self, sourceLocation: location) { try HuggingFaceFolder(path: folder.path) })?
            .description
    }

    @Test func tensorsAreThoseOfTheLibrary() throws {
        let model = try HuggingFaceFolder(path: folder.path)
        let tensors = Dictionary(uniqueKeysWithValues: model.tensors.map { ($0.name, $0) })
        #expect(tensors.mapValues(\.shape) == ["a": [5, 3], "b": [8, 4], "c": [4, 3, 2], "d": [7]])
        #expect(tensors.mapValues(\.type) == ["a": .f32, "b": .f16, "c": .bf16, "d": .f32])
        for (name, tensor) in tensors {
            #expect(try tensor.dequantized().withUnsafeBytes { Array($0) } == goldenBytes("hf/\(name).f32"))
        }
    }

    @Test func textsAreRead() throws {
        let model = try HuggingFaceFolder(path: folder.path)
        #expect(model.configuration["model_type"]?.text == "llama")
        #expect(model.configuration["rms_norm_eps"]?.double == 1e-5)
        #expect(model.configuration["tie_word_embeddings"]?.bool == true)
        #expect(try model.generation()?["eos_token_id"]?.elements?.compactMap(\.int) == [1, 2])
        #expect(try model.chatTemplate() == "{{ messages }}")
        // Two spellings of a letter are two tokens.
        let vocabulary = try #require(try model.tokenizer()["model"]?["vocab"])
        #expect(vocabulary["é"]?.int == 0 && vocabulary["e\u{301}"]?.int == 1 && vocabulary["🙂"]?.int == 2)
        try write("{{ other }}", to: "chat_template.jinja")
        #expect(try model.chatTemplate() == "{{ other }}")
        try FileManager.default.removeItem(at: folder.appendingPathComponent("generation_config.json"))
        #expect(try model.generation() == nil)
    }

    @Test func oneFileWithoutAnIndex() throws {
        let name = "model-00001-of-00002.safetensors"
        try FileManager.default.removeItem(at: folder.appendingPathComponent("model.safetensors.index.json"))
        #expect(refusal()?.contains("model.safetensors") == true)
        try FileManager.default.moveItem(
            at: folder.appendingPathComponent(name), to: folder.appendingPathComponent("model.safetensors"))
        #expect(try HuggingFaceFolder(path: folder.path).tensors.map(\.name).sorted() == ["a", "b"])
    }

    @Test(arguments: ["../x.safetensors", "/etc/x.safetensors", "x.bin", "none.safetensors"])
    func anIndexThatPointsElsewhere(_ name: String) throws {
        try write("{\"weight_map\": {\"a\": \"\(name)\"}}", to: "model.safetensors.index.json")
        #expect(refusal() != nil)
    }

    @Test func theSameTensorTwice() throws {
        let first = folder.appendingPathComponent("model-00001-of-00002.safetensors")
        try FileManager.default.copyItem(at: first, to: folder.appendingPathComponent("again.safetensors"))
        try write(
            "{\"weight_map\": {\"a\": \"again.safetensors\", \"b\": \"model-00001-of-00002.safetensors\"}}",
            to: "model.safetensors.index.json")
        #expect(refusal()?.contains("twice") == true)
    }

    /// Opens a safetensors file of a header and zeros.
    private func open(_ header: String, length: UInt64? = nil, data: Int = 8) throws -> SafetensorsFile {
        let url = folder.appendingPathComponent("x.safetensors")
        var bytes = withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian) { Array($0) }
        bytes += Array(header.utf8) + Array(repeating: 0, count: data)
        try Data(bytes).write(to: url)
        return try SafetensorsFile(path: url.path)
    }

    private func header(
        _ type: String = "F32", _ shape: String = "[2]", _ offsets: String = "[0,8]", rest: String = ""
    ) -> String { "{\"t\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}\(rest)}" }

    @Test func lyingHeaders() throws {
        #expect(try open(header()).tensors[0].dequantized() == [0, 0])
        #expect(try open(header("F64", "[]")).tensors[0].elementCount == 1)
        let wrong = [
            header("F8_E4M3"), header("F32", "[3]"), header("F32", "[0]", "[0,0]"), header("F32", "[-2]"),
            header("F32", "[4611686018427387904,4]"), header("F32", "2"), header("F32", "[2.0]"),
            header("F32", "[2]", "[8,16]"), header("F32", "[2]", "[-8,0]"), header("F32", "[2]", "[8,0]"),
            header("F32", "[2]", "[0,9223372036854775807]"), header("F32", "[2]", "[0]"), header("F32", "[1]", "[4,8]"),
            header("F32", "[1]", "[0,4]"), header("F32", "[1,1,1,1,1,1,1,1,2]"), "[]", "{}", "", "{\"t\":1}",
            header(rest: ",\"u\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"),
        ]
        for text in wrong { #expect(throws: GGUFError.self, "\(text)") { try open(text) } }
        for length: UInt64 in [1 << 20, 100_000_001, 1 << 63, .max] {
            #expect(throws: GGUFError.self) { try open(header(), length: length) }
        }
    }

    @Test func mutatedFilesParseOrAreRefused() throws {
        let original = try goldenBytes("hf/model-00001-of-00002.safetensors")
        let url = folder.appendingPathComponent("x.safetensors")
        var random = SplitMix(state: 11)
        var parsed = 0, refused = 0
        for _ in 0..<3000 {
            var bytes = original
            for _ in 0...Int.random(in: 0..<3, using: &random) {
                bytes[Int.random(in: 0..<240, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            try Data(bytes.prefix(Int.random(in: 0..<4, using: &random) == 0 ? 200 : bytes.count)).write(to: url)
            do {
                for tensor in try SafetensorsFile(path: url.path).tensors { _ = try? tensor.dequantized() }
                parsed += 1
            } catch {
                refused += 1
            }
        }
        #expect(parsed > 50 && refused > 1000)
    }
}
