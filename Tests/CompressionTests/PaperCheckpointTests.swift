// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kernels
import ModelFiles
import Testing

@testable import Compression

/// Checkpoints are untrusted: whatever is in them, loading gives compressors or an error that says what is wrong.
@Suite struct PaperCheckpointTests {
    private func target(
        layers: Int = 2, rowWidth: Int = 128, normalizes: Bool = false, digest: String = "d"
    ) -> PaperTarget {
        PaperTarget(layers: layers, rowWidth: rowWidth, normalizesHeads: normalizes, digest: digest)
    }

    /// A folder with tensors of given shapes and a configuration.
    private func withFolder(
        _ tensors: [(String, [Int])], _ configuration: String? = nil, value: Float = 0.5,
        _ body: (String) throws -> Void
    ) throws {
        let path = NSTemporaryDirectory() + "deltakv-checkpoint-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let data = try SafetensorsWriter.bytes(
            tensors.map { name, shape in
                .init(name: name, shape: shape, values: Array(repeating: value, count: shape.reduce(1, *)))
            })
        try data.write(to: URL(fileURLWithPath: path + "/compressor.safetensors"))
        if let configuration { try Data(configuration.utf8).write(to: URL(fileURLWithPath: path + "/config.json")) }
        try body(path)
    }

    private static let linear = [("compress_down.weight", [16, 128]), ("compress_up.weight", [128, 16])]

    private func failure(_ path: String, _ target: PaperTarget) -> String? {
        do {
            _ = try PaperCheckpoint.load(path: path, for: target)
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test func namesAndShapesAreEnough() throws {
        try withFolder(Self.linear) { path in
            let found = try PaperCheckpoint.load(path: path, for: target())
            #expect(found.settings == PaperSettings() && found.latentWidth == 16 && found.layers.count == 2)
            let file = try PaperCheckpoint.load(path: path + "/compressor.safetensors", for: target())
            #expect(file.latentWidth == 16)
        }
        // Layers that have none stay without; other modules are passed over.
        let one = Self.linear.map { ("model.layers.1.self_attn." + $0.0, $0.1) } + [("model.norm.weight", [5])]
        try withFolder(one) { path in
            let layers = try PaperCheckpoint.load(path: path, for: target()).layers
            #expect(layers[0] == nil && layers[1] != nil)
        }
    }

    @Test func configurationsAreRead() throws {
        let text =
            #"{"seq_chunk_size": 6, "cluster_ratio": 0.05, "kv_compressed_size": 16, "compressor_down_type": "auto"}"#
        try withFolder(Self.linear, text) { path in
            let settings = try PaperCheckpoint.load(path: path, for: target()).settings
            #expect(settings == PaperSettings(stride: 20, neighbours: 6))
        }
        for stride in 1...300 {
            try withFolder(Self.linear, "{\"cluster_ratio\": \(1 / Double(stride))}") { path in
                let settings = try PaperCheckpoint.load(path: path, for: target()).settings
                #expect(settings.stride == stride)
            }
        }
    }

    @Test(arguments: [
        #"{"split_kv": true}"#, #"{"cluster_metric": "cosine"}"#, #"{"cluster_soft_assignment": true}"#,
        #"{"cluster_on_kv": false}"#, #"{"collect_kv_before_rope": false}"#, #"{"recon_mode": "delta_in_origin"}"#,
        #"{"kv_compressed_size": 17}"#, #"{"compressor_down_type": "swiglu"}"#, #"{"compressor_up_type": "odd"}"#,
        #"{"cluster_ratio": 0}"#, #"{"cluster_ratio": 1e-300}"#, #"{"k_neighbors": 0}"#,
        #"{"k_neighbors": 9223372036854775807}"#, "{", "",
    ])
    func configurationsThatMeanSomethingElseAreRefused(text: String) throws {
        try withFolder(Self.linear, text) { path in
            let reason = try #require(failure(path, target()))
            #expect(reason.contains(path), "\(reason)")
        }
    }

    @Test func otherModelsAreRefused() throws {
        try withFolder(Self.linear, #"{"num_hidden_layers": 2, "deltakv_model_sha256": "d"}"#) { path in
            _ = try PaperCheckpoint.load(path: path, for: target())
            for other in [target(rowWidth: 256), target(layers: 3), target(digest: "e")] {
                #expect(throws: CompressionError.otherModel(path: path)) {
                    try PaperCheckpoint.load(path: path, for: other)
                }
            }
            #expect((failure(path, target(normalizes: true)) ?? "").contains("normalise heads"))
        }
    }

    @Test(
        arguments: [
            [("compress_down.weight", [16, 128])],
            [("compress_down.weight", [16, 128]), ("compress_up.weight", [128, 17])],
            [("compress_down.weight", [16, 128]), ("compress_up.weight", [128, 16]), ("compress_up.bias", [16])],
            [("compress_down.weight", [16, 128]), ("compress_up.weight", [128, 16]), ("compress_up.scale", [16])],
            [("compress_down.weight", [2048]), ("compress_up.weight", [128, 16])],
            [
                ("compress_down.w12.weight", [33, 128]), ("compress_down.w3.weight", [16, 16]),
                ("compress_up.weight", [128, 16]),
            ],
            [("compress_down.w12.weight", [32, 128]), ("compress_up.weight", [128, 16])],
            [
                ("compress_down.0.weight", [32, 128]), ("compress_down.2.weight", [16, 31]),
                ("compress_up.weight", [128, 16]),
            ],
            [("layers.x.compress_down.weight", [16, 128]), ("compress_up.weight", [128, 16])],
            [("layers.99999999999999999999.compress_down.weight", [16, 128])],
            [("layers.0.k_compress_down.weight", [16, 128])],
            [("something.else", [4])],
        ] as [[(String, [Int])]])
    func tensorsThatMakeNoCompressorAreRefused(tensors: [(String, [Int])]) throws {
        try withFolder(tensors) { path in
            let reason = try #require(failure(path, target()))
            #expect(reason.contains(path), "\(reason)")
        }
    }

    @Test func weightsMustBeNumbers() throws {
        try withFolder(Self.linear, value: .nan) { #expect(failure($0, target())?.contains("no numbers") == true) }
    }

    @Test func whatIsMissingIsNamed() throws {
        #expect(failure("/no/such/folder", target())?.contains("/no/such/folder") == true)
        try withFolder(Self.linear) { path in
            try FileManager.default.moveItem(atPath: path + "/compressor.safetensors", toPath: path + "/compressor.bin")
            #expect(failure(path, target())?.contains("pickled") == true)
            try FileManager.default.removeItem(atPath: path + "/compressor.bin")
            #expect(failure(path, target())?.contains("no safetensors file") == true)
        }
    }

    /// What we write we read, and any damage to the tensors is found.
    @Test func ourOwnAreChecked() throws {
        let path = NSTemporaryDirectory() + "deltakv-checkpoint-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        var random = Random(5)
        let layers = (0..<2).map { _ in
            PaperCheckpointWriter.Layer(
                down: (0..<4 * 32).map { _ in random.value() }, up: (0..<32 * 4).map { _ in random.value() })
        }
        let settings = PaperSettings(stride: 7, neighbours: 3)
        func save() throws {
            try PaperCheckpointWriter.save(
                layers, columns: 32, latent: 4, settings: settings, modelDigest: "d", path: path)
        }
        try save()
        let target = target(rowWidth: 32), loaded = try PaperCheckpoint.load(path: path, for: target)
        #expect(loaded.settings == settings && loaded.latentWidth == 4 && loaded.layers.allSatisfy { $0 != nil })
        #expect(try Set(FileManager.default.contentsOfDirectory(atPath: path)) == ["config.json", "model.safetensors"])
        let file = URL(fileURLWithPath: path + "/model.safetensors"), good = try Data(contentsOf: file)
        for at in good.indices {
            var bytes = good
            bytes[at] ^= UInt8(1 << random.below(8))
            try bytes.write(to: file)
            #expect(throws: (any Error).self) { try PaperCheckpoint.load(path: path, for: target) }
        }
        for length in stride(from: 0, to: good.count, by: 3) {
            try good.prefix(length).write(to: file)
            #expect(throws: (any Error).self) { try PaperCheckpoint.load(path: path, for: target) }
        }
        // A configuration that was damaged is refused or means what it says; it never traps.
        try save()
        let config = URL(fileURLWithPath: path + "/config.json"), text = try Data(contentsOf: config)
        for at in text.indices {
            var bytes = text
            bytes[at] ^= UInt8(1 << random.below(8))
            try bytes.write(to: config)
            if let found = try? PaperCheckpoint.load(path: path, for: target) {
                #expect(found.settings.isValid && found.latentWidth == 4)
            }
            try text.prefix(at).write(to: config)
            #expect(throws: (any Error).self) { try PaperCheckpoint.load(path: path, for: target) }
        }
    }

    @Test func unwritablePathsAreNamed() {
        #expect(throws: CompressionError.self) {
            try PaperCheckpointWriter.save(
                [.init(down: [1], up: [1])], columns: 1, latent: 1, settings: PaperSettings(), modelDigest: "d",
                path: "/dev/null/x")
        }
    }
}
