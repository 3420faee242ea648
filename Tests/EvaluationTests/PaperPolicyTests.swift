// SPDX-License-Identifier: Apache-2.0
import Compression
import Foundation
import Kernels
import ModelFiles
import Testing

@testable import Evaluation

@Suite struct PaperPolicyTests {
    private let shape = CacheShape(layers: 6, heads: 3, kvHeads: 1, headDimension: 32)

    /// Compressors that keep the first `latent` elements of residuals and no others.
    private func compressor(latent: Int, layers: Int = 6, columns: Int = 64) throws -> PaperCompressor {
        let path = NSTemporaryDirectory() + "deltakv-policy-\(UUID().uuidString).safetensors"
        defer { try? FileManager.default.removeItem(atPath: path) }
        func diagonal(_ rows: Int, _ columns: Int) -> [Float] {
            (0..<rows * columns).map { $0 / columns == $0 % columns ? 1 : 0 }
        }
        try SafetensorsWriter.bytes([
            .init(name: "compress_down.weight", shape: [latent, columns], values: diagonal(latent, columns)),
            .init(name: "compress_up.weight", shape: [columns, latent], values: diagonal(columns, latent)),
        ]).write(to: URL(fileURLWithPath: path))
        return try PaperCheckpoint.load(
            path: path, for: PaperTarget(layers: layers, rowWidth: columns, normalizesHeads: false, digest: ""))
    }

    private func policy(_ name: String, _ compressor: PaperCompressor) throws -> PaperPolicy {
        guard case .paper(let variant, _) = try PolicyChoice(name) else { throw EvaluationError.unknownPolicy(name) }
        return PaperPolicy(compressor, name: name, variant: variant, threads: try ThreadPool(threads: 2))
    }

    @Test func bytesByHand() throws {
        let history = try randomHistory(shape, tokens: 1000), compressor = try compressor(latent: 16)
        func bytes(_ name: String) throws -> Int { try policy(name, compressor).compress(history).bytes.memory }
        // 872 rows of 64 are coded: 8 sinks and 87 references in f16, 864 latents with ids of four references in 16 bits.
        let references = 95 * 128, recent = 128 * 128
        #expect(try bytes("paper-all") == 6 * (references + recent + 864 * (8 + 8 + 4)))
        #expect(try bytes("paper-all-g4") == 6 * (references + recent + 864 * (8 + 8 + 16)))
        #expect(try bytes("paper-all-f16-k2") == 6 * (references + recent + 864 * (4 + 32)))
        #expect(try bytes("paper-all-s20") == 6 * (52 * 128 + recent + 864 * 20))
        // Layers 0, 1, 2 and 4 of 6 stay exact.
        #expect(OmniKVPolicy.defaultLayers(of: 6) == [0, 1, 2, 4])
        #expect(try bytes("paper") == 2 * (references + recent + 864 * 20) + 4 * 1000 * 128)
        let short = try randomHistory(shape, tokens: 100)
        #expect(try policy("paper-all", compressor).compress(short).bytes.memory == short.exactBytes)
    }

    @Test func rowsComeBack() throws {
        let history = try randomHistory(shape, tokens: 400)
        func errors(_ name: String, latent: Int, layer: Int) throws -> [Float] {
            let compressed = try policy(name, compressor(latent: latent)).compress(history)
            let rows = restored(compressed, of: history, layer: layer), exact = history.rows(layer: layer)
            return rows.indices.map { row in zip(rows[row], exact[row: row]).reduce(0) { max($0, abs($1.0 - $1.1)) } }
        }
        // Latents that hold everything, in half precision; then in int4.
        #expect(try errors("paper-all-f16", latent: 64, layer: 0).allSatisfy { $0 < 0.02 })
        let coarse = try errors("paper-all", latent: 64, layer: 0)
        #expect(coarse[8..<272].allSatisfy { $0 > 0.02 && $0 < 1.5 })
        #expect((coarse[..<8] + coarse[272...]).allSatisfy { $0 < 0.02 })
        #expect(try errors("paper", latent: 16, layer: 0).allSatisfy { $0 < 0.02 })
        #expect(try errors("paper", latent: 16, layer: 3).max()! > 1)
    }

    @Test func whatDoesNotFitIsAnError() throws {
        let history = try randomHistory(shape, tokens: 300)
        for compressor in [try compressor(latent: 8, layers: 5), try compressor(latent: 8, columns: 32)] {
            #expect(throws: EvaluationError.self) { try policy("paper-all", compressor).compress(history) }
        }
        history.rows(layer: 5)[row: 20][3] = .nan
        #expect(throws: CompressionError.nonFiniteRow(layer: 5)) {
            try policy("paper-all", compressor(latent: 8)).compress(history)
        }
    }
}
