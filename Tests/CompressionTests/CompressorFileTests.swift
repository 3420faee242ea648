// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Compression

@Suite struct CompressorFileTests {
    private func withFile(_ body: (Compressor, String) throws -> Void) throws {
        let codec = try sampleCodec()
        let compressor = try Compressor(
            modelDigest: "abc", settings: codec.settings, tables: codec.tables,
            parameters: [codec.parameters, codec.parameters], observationLayers: [0, 1])
        let directory = NSTemporaryDirectory() + "deltakv-compressor-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/model.deltakv"
        try CompressorFile.save(compressor, path: path)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["model.deltakv"])
        try body(compressor, path)
    }

    @Test func comesBackWhole() throws {
        try withFile { compressor, path in
            let loaded = try CompressorFile.load(path: path, forModelDigest: "abc")
            #expect(loaded.settings == compressor.settings && loaded.observationLayers == [0, 1])
            #expect(loaded.tables.frequencies == compressor.tables.frequencies)
            #expect(loaded.layers.map(\.parameters) == compressor.layers.map(\.parameters))
        }
    }

    @Test func otherModelsAreRefused() throws {
        try withFile { _, path in
            #expect(throws: CompressionError.otherModel(path: path)) {
                try CompressorFile.load(path: path, forModelDigest: "abd")
            }
        }
    }

    @Test func damageIsRefused() throws {
        try withFile { _, path in
            let good = try #require(FileManager.default.contents(atPath: path))
            var random = Random(41)
            for trial in 0..<60 {
                var bytes = good
                switch trial % 3 {
                case 0: bytes[random.below(bytes.count)] ^= UInt8(1 << random.below(8))
                case 1: bytes = bytes.prefix(random.below(bytes.count))
                default: bytes.append(0)
                }
                try bytes.write(to: URL(fileURLWithPath: path))
                #expect(throws: CompressionError.self) { try CompressorFile.load(path: path, forModelDigest: "abc") }
            }
            #expect(throws: CompressionError.self) { try CompressorFile.load(path: path + "x", forModelDigest: "abc") }
        }
    }
}
