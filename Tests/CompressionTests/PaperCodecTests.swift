// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kernels
import ModelFiles
import Testing

@testable import Compression

/// The paper's codec against torch, and what must hold of any codec.
@Suite struct PaperCodecTests {
    private static let target = PaperTarget(layers: 2, rowWidth: 128, normalizesHeads: false, digest: "d")

    /// A published layout's folder with what torch made of it.
    struct Golden {
        let compressor: PaperCompressor
        var rows: [Float]
        let expected: [String: [Float]]

        init(_ name: String) throws {
            let path = Goldens.folder + "/paper/\(name)"
            let work = NSTemporaryDirectory() + "deltakv-paper-\(UUID().uuidString)"
            defer { try? FileManager.default.removeItem(atPath: work) }
            try FileManager.default.createDirectory(atPath: work, withIntermediateDirectories: true)
            for file in ["config.json", "model.safetensors"] {
                try FileManager.default.copyItem(atPath: "\(path)/\(file)", toPath: "\(work)/\(file)")
            }
            compressor = try PaperCheckpoint.load(path: work, for: target)
            var expected: [String: [Float]] = [:]
            for tensor in try TensorFolder(path: path + "/expected.safetensors").tensors {
                expected[tensor.name] = try tensor.dequantized()
            }
            rows = try #require(expected["rows"])
            self.expected = expected
        }

        mutating func encode(_ latents: LatentForm, pieces: [Int]? = nil) throws -> (PaperCodec, PaperRows) {
            var settings = compressor.settings
            settings.latents = latents
            let codec = try #require(compressor.with(settings).layers[1])
            var history = PaperRows(), first = 0
            let compute = try Compute(pool: ThreadPool(threads: 2))
            for count in pieces ?? [rows.count / 128] {
                try rows.withUnsafeMutableBufferPointer { buffer in
                    let rows = Matrix(buffer.baseAddress.unsafelyUnwrapped + first * 128, rows: count, columns: 128)
                    try codec.encode(rows, appendingTo: &history, with: compute)
                }
                first += count
            }
            return (codec, history)
        }
    }

    private func decode(_ positions: [Int], _ codec: PaperCodec, _ history: PaperRows) throws -> [[Float]] {
        var values = Array(repeating: Float.nan, count: positions.count * codec.columns)
        try values.withUnsafeMutableBufferPointer { buffer in
            let rows = Matrix(
                buffer.baseAddress.unsafelyUnwrapped, rows: positions.count, columns: codec.columns)
            try codec.decode(positions, of: history, into: rows, with: Compute(pool: ThreadPool(threads: 1)))
        }
        return positions.indices.map { Array(values[$0 * codec.columns..<($0 + 1) * codec.columns]) }
    }

    @Test(arguments: [
        ("linear", PaperMap.Form.linear, PaperMap.Form.linear), ("gelu", .gelu, .gelu), ("light", .swiglu, .linear),
    ])
    func agreesWithTorch(name: String, down: PaperMap.Form, up: PaperMap.Form) throws {
        var golden = try Golden(name)
        let (codec, history) = try golden.encode(.half)
        #expect(codec.compressor.form == down && codec.decompressor.form == up)
        #expect(golden.compressor.settings == PaperSettings() && golden.compressor.latentWidth == 64)
        let ids = try #require(golden.expected["ids"]), latents = try #require(golden.expected["latents"])
        for row in 0..<93 {
            #expect(history.ids[4 * row..<4 * row + 4].sorted() == ids[4 * row..<4 * row + 4].map(UInt16.init))
        }
        var read = Array(repeating: Float(0), count: 64)
        for row in 0..<93 {
            history.latents.withUnsafeBufferPointer { bytes in
                read.withUnsafeMutableBufferPointer {
                    LatentCodes.read(bytes.baseAddress! + 128 * row, as: .half, to: $0)
                }
            }
            // Half precision and another order of summation.
            #expect(
                (0..<64).allSatisfy {
                    abs(read[$0] - latents[64 * row + $0]) < 2e-3 + 1e-3 * abs(latents[64 * row + $0])
                })
        }
        let found = try decode(Array(8..<101), codec, history), exact = try #require(golden.expected["exact"])
        #expect(zip(found.joined(), exact).allSatisfy { abs($0 - $1) < 2e-2 })
        // Sinks come back in half precision.
        let sinks = try decode(Array(0..<8), codec, history)
        #expect(Array(sinks.joined()) == golden.rows.prefix(8 * 128).map { Float(Float16($0)) })
    }

    @Test(arguments: ["linear", "gelu", "light"], [nil, 32]) func int4AgreesWithTorch(name: String, group: Int?) throws
    {
        var golden = try Golden(name)
        let (codec, history) = try golden.encode(.int4(group: group))
        let expected = try #require(golden.expected[group == nil ? "token" : "group"])
        let found = try decode(Array(8..<101), codec, history)
        // A value that lies between two codes may fall to either side.
        let wrong = found.enumerated().count { row, values in
            zip(values, expected[128 * row..<128 * row + 128]).contains { abs($0 - $1) > 1e-3 }
        }
        #expect(wrong <= 2)
        let steps = 4 * (group == nil ? 1 : 2)
        #expect(history.byteCount == 18 * 256 + 93 * (4 * 2 + 32 + steps))
    }

    /// compress(prefix), then extend, is compress(whole); any rows in any order are what all of them are; threads do not matter.
    @Test func anyPiecesGiveTheSame() throws {
        var golden = try Golden("gelu")
        let (codec, whole) = try golden.encode(.int4(group: 32))
        let all = try decode(Array(0..<101), codec, whole)
        var random = Random(7)
        for _ in 0..<12 {
            var pieces: [Int] = [], left = 101
            while left > 0 {
                pieces.append(min(left, 1 + random.below(40)))
                left -= pieces[pieces.count - 1]
            }
            let (_, rows) = try golden.encode(.int4(group: 32), pieces: pieces)
            #expect(rows == whole)
            let some = (0..<9).map { _ in random.below(101) }
            #expect(try decode(some, codec, rows) == some.map { all[$0] })
        }
    }

    /// Ties go to the earlier reference, and a row sees no reference after itself.
    @Test func equalReferencesAreTakenInOrder() throws {
        var golden = try Golden("linear")
        golden.rows = Array(repeating: 0.25, count: 101 * 128)
        let (_, history) = try golden.encode(.half)
        #expect((0..<93).allSatisfy { history.ids[4 * $0..<4 * $0 + 4].elementsEqual([0, 1, 2, 3]) })
    }

    /// Without sinks the first rows see fewer references than are wanted.
    @Test func fewReferencesAreEnough() throws {
        let golden = try Golden("linear")
        let settings = PaperSettings(sinks: 0, stride: 3, neighbours: 4, latents: .half)
        let codec = try #require(golden.compressor.with(settings).layers[0])
        var rows = golden.rows, history = PaperRows()
        try rows.withUnsafeMutableBufferPointer { buffer in
            try codec.encode(
                Matrix(buffer.baseAddress.unsafelyUnwrapped, rows: 9, columns: 128), appendingTo: &history,
                with: Compute(pool: ThreadPool(threads: 1)))
        }
        let none = PaperRows.none
        #expect(history.ids.prefix(8) == [0, none, none, none, 0, none, none, none])
        // Two references before the fifth row, three before the last.
        #expect(
            history.ids[16..<20].filter { $0 == none }.count == 2 && history.ids[32...].filter { $0 == none }.count == 1
        )
        let decoded = try decode([0, 8], codec, history)
        #expect(decoded.joined().allSatisfy { $0.isFinite })
    }

    @Test func brokenRowsAreRefused() throws {
        var golden = try Golden("light")
        let codec = try #require(golden.compressor.layers[0]), good = golden.rows
        let compute = try Compute(pool: ThreadPool(threads: 1))
        for bad in [Float.nan, .infinity, -.infinity] {
            golden.rows[77] = bad
            var history = PaperRows()
            #expect(throws: CompressionError.nonFiniteRow(layer: 0)) {
                try golden.rows.withUnsafeMutableBufferPointer { buffer in
                    try codec.encode(
                        Matrix(buffer.baseAddress.unsafelyUnwrapped, rows: 101, columns: 128), appendingTo: &history,
                        with: compute)
                }
            }
            #expect(history == PaperRows())
        }
        // Huge values overflow in the maps: an error, not a latent that is no number.
        golden.rows = good.map { $0 * 1e36 }
        var history = PaperRows()
        #expect(throws: CompressionError.nonFiniteRow(layer: 0)) {
            try golden.rows.withUnsafeMutableBufferPointer { buffer in
                try codec.encode(
                    Matrix(buffer.baseAddress.unsafelyUnwrapped, rows: 101, columns: 128), appendingTo: &history,
                    with: compute)
            }
        }
    }

    @Test func latentsOfAllShapesComeBack() {
        var random = Random(3)
        for form in [LatentForm.half, .int4(group: nil), .int4(group: 2), .int4(group: 32)] {
            for count in [1, 2, 7, 31, 32, 33, 96] {
                for scale in [Float(0), 1e-8, 1, 1e30] {
                    let values = (0..<count).map { _ in scale * random.value() }
                    var bytes: [UInt8] = [], copy = values
                    copy.withUnsafeMutableBufferPointer { LatentCodes.append($0, as: form, to: &bytes) }
                    #expect(bytes.count == form.bytes(count))
                    var read = Array(repeating: Float.nan, count: count)
                    read.withUnsafeMutableBufferPointer { LatentCodes.read(bytes, as: form, to: $0) }
                    #expect(read.allSatisfy { $0.isFinite })
                    guard scale <= 1 else { continue }
                    let widest = (values.max() ?? 0) - (values.min() ?? 0)
                    // Half a step, what half precision takes from minimum and step, and the 10⁻⁶ beside the step.
                    #expect(zip(values, read).allSatisfy { abs($0 - $1) <= widest / 30 + 4e-3 * scale + 2e-5 })
                }
            }
        }
    }

    /// The paper's keep ratios for Llama 3.1 8B: 32 layers, 5 of them exact, rows of 2,048, latents of 512.
    @Test func footprintsAreThePapers() {
        func ratio(
            _ latents: LatentForm, layers: Int = 32, exact: Int = 5, row: Int = 2048, ids: Int = 0
        ) -> Double {
            PaperFootprint(
                layers: layers, exactLayers: exact, rowWidth: row, latentWidth: row / 4, latents: latents, idBytes: ids
            ).ratio
        }
        func percent(_ ratio: Double) -> Double { (ratio * 1000).rounded() / 10 }
        #expect(percent(ratio(.half)) == 45.2)
        #expect(percent(ratio(.int4(group: nil))) == 29.4)
        #expect(percent(ratio(.int4(group: 32))) == 30.7)
        // With ids of four references in 32 bits each, which the published engine keeps besides.
        #expect(percent(ratio(.half, ids: 16)) == 45.5)
        #expect(percent(ratio(.int4(group: nil), ids: 16)) == 29.7)
        // Qwen 2.5 7B (28 layers, 6 exact, rows of 1,024) and 32B (64, 9, 2,048).
        #expect(percent(ratio(.half, layers: 28, exact: 6, row: 1024)) == 48.9)
        #expect(percent(ratio(.int4(group: nil), layers: 28, exact: 6, row: 1024)) == 34.3)
        #expect(percent(ratio(.int4(group: nil), layers: 64, exact: 9)) == 28.1)
    }

    /// What the footprint says of a token is what coded rows take.
    @Test func footprintsAreWhatRowsTake() throws {
        var golden = try Golden("linear")
        for latents in [LatentForm.half, .int4(group: nil), .int4(group: 32)] {
            let (_, history) = try golden.encode(latents)
            let footprint = PaperFootprint(
                layers: 1, exactLayers: 0, rowWidth: 128, latentWidth: 64, latents: latents, idBytes: 8)
            // 90 rows, 9 strided references among them, and what three rows and the sinks add: a reference and latents.
            let rest = 8 * 256 + 256 + 3 * (latents.bytes(64) + 8)
            #expect(Double(history.byteCount) == (90 * footprint.bytesPerToken).rounded() + Double(rest))
        }
    }
}

/// Files beside the tests.
enum Goldens {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")
        .path
}
