// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kernels
import Testing

@testable import Compression

/// What can be wrong with compressor files, and with what calibration is given, beyond the plain cases beside each type.
@Suite struct DamageTests {
    /// Of two layers, the second of which is predicted from the values of the first.
    private func compressor() throws -> Compressor {
        let codec = try sampleCodec(), columns = codec.columns
        var random = Random(5), predicted = codec.parameters
        predicted.inputs = [1]
        predicted.sourceMean = Array(repeating: 0, count: columns)
        predicted.sourceScale = Array(repeating: 1, count: columns)
        predicted.prediction = EightBitMatrix(
            (0..<columns * columns / 2).map { _ in 0.1 * Double(random.value()) }, columns: columns / 2)
        return try Compressor(
            modelDigest: "abc", settings: codec.settings, tables: codec.tables,
            parameters: [codec.parameters, predicted], observationLayers: [0])
    }

    private func withFile(_ body: (Compressor, String) throws -> Void) throws {
        let path = NSTemporaryDirectory() + "deltakv-damage-\(UUID().uuidString).deltakv"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let compressor = try compressor()
        try CompressorFile.save(compressor, path: path)
        try body(compressor, path)
    }

    /// Every single byte, and every length.
    @Test func anyFlippedByteAndAnyCutIsRefused() throws {
        try withFile { _, path in
            var bytes = Array(try #require(FileManager.default.contents(atPath: path)))
            var random = Random(11), accepted = 0
            func isAccepted(_ bytes: [UInt8]) -> Bool {
                do throws(CompressionError) {
                    _ = try CompressorFile.load(bytes, from: path, forModelDigest: "abc")
                    return true
                } catch {
                    guard case .file(path, _) = error else { return true }
                    return false
                }
            }
            #expect(isAccepted(bytes))
            for at in bytes.indices {
                let mask = UInt8(1 << random.below(8))
                bytes[at] ^= mask
                accepted += isAccepted(bytes) ? 1 : 0
                bytes[at] ^= mask
            }
            for length in stride(from: 0, to: bytes.count, by: 7) {
                accepted += isAccepted(Array(bytes[..<length])) ? 1 : 0
            }
            #expect(accepted == 0)
        }
    }

    /// A file that is damaged and then signed again never traps: it is refused, or what it holds can code rows.
    @Test func forgedFilesNeverTrap() throws {
        try withFile { _, path in
            let good = Array(try #require(FileManager.default.contents(atPath: path)))
            var random = Random(12), rows = SampleRows(count: 40, columns: 64, seed: 3)
            var used = 0
            for trial in 0..<2000 {
                var payload = Array(good[44...])
                // Counts and tables stand at the beginning; half of the trials leave them alone.
                for _ in 0...random.below(trial % 2 == 0 ? 40 : 2) {
                    let at = trial % 2 == 0 ? payload.count - 1 - random.below(payload.count - 6_300) : random.below(60)
                    payload[at] = UInt8(random.below(256))
                }
                guard
                    let found = try? CompressorFile.load(
                        CompressorFile.signed(payload), from: path, forModelDigest: "abc"),
                    found.columns == 64
                else { continue }
                let work = try work(64), encoder = try SequenceEncoder(found, in: work)
                for layer in found.layers.indices {
                    _ = try rows.withMatrix { try encoder.encode(layer: layer, $0) }
                }
                try found.decode(Array(0..<40), of: encoder.sequence, in: work) { _, _ in }
                used += 1
            }
            #expect(used > 50)
        }
    }

    @Test func aFolderThatCannotBeWrittenIsNamed() throws {
        let compressor = try compressor()
        #expect {
            try CompressorFile.save(compressor, path: "/dev/null/model.deltakv")
        } throws: {
            "\($0)".contains("/dev/null/model.deltakv") && "\($0)".contains("cannot be written")
        }
        // A folder stands where the file should be: nothing is left beside it.
        let folder = NSTemporaryDirectory() + "deltakv-damage-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(
            atPath: folder + "/model.deltakv/x", withIntermediateDirectories: true)
        #expect(throws: CompressionError.self) { try CompressorFile.save(compressor, path: folder + "/model.deltakv") }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["model.deltakv"])
    }

    // MARK: Calibration

    @Test(arguments: [Float.nan, .infinity, -.infinity]) func activationsThatAreNoNumbersAreNamed(value: Float) throws {
        var sample = SampleRows(count: 200, columns: 32)
        sample.values[77] = value
        #expect(throws: CompressionError.nonFiniteRow(layer: 2)) {
            try solve(sample.values, columns: 32, metric: identity(32))
        }
    }

    /// Constant columns are not coded and come back as they were, up to half precision's like of the constant.
    @Test func constantColumnsComeBack() throws {
        var sample = SampleRows(count: 600, columns: 64)
        for row in 0..<600 { for i in 0..<20 { sample.values[row * 64 + i] = 3 } }
        try checkRows(sample, constant: 0..<20)
    }

    /// Fewer rows than columns: what was seen is coded all the same.
    @Test func fewerRowsThanColumnsAreCoded() throws {
        try checkRows(SampleRows(count: 48, columns: 64), constant: 0..<0)
    }

    private func checkRows(_ sample: SampleRows, constant: Range<Int>) throws {
        var sample = sample
        let solution = try solve(sample.values, columns: 64, metric: identity(64))
        let codec = try LayerCodec(
            layer: 2, settings: CodecSettings(prototypes: 16), parameters: solution.parameters,
            tables: CodeTables.geometric())
        let work = try work(64)
        let history = try encode(&sample, with: codec, pieces: [sample.count], in: work)
        let found = try decode(Array(0..<sample.count), of: history, with: codec, table: nil, in: work)
        var error = 0.0, energy = 0.0
        for row in 0..<sample.count {
            for i in 0..<64 {
                let exact = sample.values[row * 64 + i], off = found[row][i] - exact
                if constant.contains(i) { #expect(abs(off) < 0.02) }
                error += Double(off * off)
                energy += Double(exact * exact)
            }
        }
        #expect(error < 0.05 * energy, "\(error / energy)")
    }
}
