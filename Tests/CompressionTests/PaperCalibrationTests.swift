// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kernels
import Testing

@testable import Compression

@Suite struct PaperCalibrationTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let path = NSTemporaryDirectory() + "deltakv-paper-\(UUID().uuidString).paper"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    /// The checkpoint is read back, and is the same every time.
    @Test func aModelIsCalibrated() throws {
        let model = try DefaultModel.get(), c = model.configuration, columns = 2 * c.kvHeads * c.headDimension
        var random = Random(51)
        let texts = [(0..<2100).map { _ in Int32(random.below(300) + 1000) }]
        let calibration = try PaperCalibration(model: model, modelDigest: "d", threads: ThreadPool())
        try withFolder { path in
            let reports = try calibration.run(texts, writingTo: path) { _ in }
            #expect(reports.count == c.layers && reports.allSatisfy { $0.heldShare > 0.3 && $0.heldShare <= 1 })
            let target = PaperTarget(layers: c.layers, rowWidth: columns, normalizesHeads: false, digest: "d")
            let loaded = try PaperCheckpoint.load(path: path, for: target)
            #expect(loaded.latentWidth == columns / 4 && loaded.settings == PaperSettings())
            #expect(loaded.layers.allSatisfy { $0?.compressor.form == .linear })
            let file = path + "/model.safetensors", first = FileManager.default.contents(atPath: file)
            _ = try calibration.run(texts, writingTo: path) { _ in }
            #expect(FileManager.default.contents(atPath: file) == first)
        }
    }

    @Test func tooLittleTextIsRefused() throws {
        let calibration = try PaperCalibration(model: DefaultModel.get(), modelDigest: "d", threads: ThreadPool())
        #expect(throws: CompressionError.tooLittleText(tokens: 100, needed: 2048)) {
            try calibration.run([Array(repeating: 5, count: 100), [1, 2, 3]], writingTo: "/nowhere") { _ in }
        }
    }

    private func covariance(_ rows: [Float], columns: Int) throws -> Covariance {
        var covariance = Covariance(columns: columns)
        let blas = try OpenBLAS()
        rows.withUnsafeBufferPointer {
            covariance.add(
                $0.baseAddress.unsafelyUnwrapped, count: rows.count / columns, blas, on: try! ThreadPool(threads: 2))
        }
        return covariance
    }

    /// Rows of a few directions with constant columns, fewer than there are columns: components hold all of them.
    @Test func componentsHoldWhatThereIs() throws {
        var random = Random(8)
        let columns = 24, basis = (0..<3 * columns).map { $0 % columns < 5 ? 0 : random.value() }
        let rows = (0..<12).flatMap { _ in
            let weights = (0..<3).map { _ in random.value() }
            return (0..<columns).map { i in (0..<3).reduce(Float(0)) { $0 + weights[$1] * basis[$1 * columns + i] } }
        }
        let (layer, held) = try PaperCalibration.components(
            of: covariance(rows, columns: columns), count: 3, layer: 1, OpenBLAS())
        #expect(abs(held - 1) < 1e-6)
        for row in 0..<12 {
            let x = rows[row * columns..<(row + 1) * columns]
            let z = (0..<3).map { k in
                zip(layer.down[k * columns..<(k + 1) * columns], x).reduce(0) { $0 + $1.0 * $1.1 }
            }
            for i in 0..<columns {
                let back = (0..<3).reduce(Float(0)) { $0 + layer.up[i * 3 + $1] * z[$1] }
                #expect(abs(back - rows[row * columns + i]) < 1e-4)
            }
        }
    }

    @Test func rowsThatDoNotVaryAreRefused() throws {
        #expect(throws: CompressionError.self) {
            try PaperCalibration.components(
                of: covariance(Array(repeating: 0, count: 40), columns: 8), count: 2, layer: 1, OpenBLAS())
        }
    }
}
