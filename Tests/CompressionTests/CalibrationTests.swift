// SPDX-License-Identifier: Apache-2.0
import Kernels
import Testing

@testable import Compression

@Suite struct CalibrationTests {
    @Test func aModelIsCalibrated() throws {
        let model = try DefaultModel.get(), c = model.configuration
        var random = Random(51)
        // Few words, often repeated.
        let texts = (0..<2).map { _ in (0..<1100).map { _ in Int32(random.below(300) + 1000) } }
        let calibration = try Calibration(model: model, modelDigest: "d", threads: ThreadPool())
        var seen: [Int] = []
        let result = try calibration.run(texts) {
            if case .layers(let done, _) = $0 { seen.append(done) }
        }
        #expect(seen.last == c.layers && result.layers.count == c.layers)
        #expect(result.compressor.columns == 2 * c.kvHeads * c.headDimension)
        #expect(result.compressor.observationLayers.first == 0 && result.compressor.observationLayers.count == 5)
        #expect(result.coverage > 0.2 && result.coverage <= 1)
        for layer in result.layers { #expect(layer.residualShare > 0 && layer.residualShare < 1) }
        // The same again, bit for bit.
        let again = try calibration.run(texts) { _ in }
        #expect(again.compressor.layers.map(\.parameters) == result.compressor.layers.map(\.parameters))
    }

    @Test func tooLittleTextIsRefused() throws {
        let calibration = try Calibration(model: DefaultModel.get(), modelDigest: "d", threads: ThreadPool())
        #expect(throws: CompressionError.tooLittleText(tokens: 100, needed: 2048)) {
            try calibration.run([Array(repeating: 5, count: 100), [1, 2, 3]]) { _ in }
        }
    }

    /// Constant columns and fewer rows than columns have a solution all the same.
    @Test func degenerateRowsAreSolved() throws {
        var sample = SampleRows(count: 40, columns: 64)
        for row in 0..<40 { for i in 0..<20 { sample.values[row * 64 + i] = 3 } }
        let solution = try solve(sample.values, columns: 64, metric: identity(64))
        #expect(solution.parameters.fits(CodecSettings(prototypes: 16)))
    }

    @Test func hopelessStatisticsAreRefused() throws {
        let sample = SampleRows(count: 200, columns: 32)
        #expect(throws: CompressionError.self) {
            try solve(sample.values, columns: 32, metric: Array(repeating: 0, count: 1024))
        }
        var broken = identity(32)
        broken[5] = .nan
        #expect(throws: CompressionError.self) { try solve(sample.values, columns: 32, metric: broken) }
        #expect(throws: CompressionError.self) {
            try solve(Array(repeating: 1, count: 200 * 32), columns: 32, metric: identity(32))
        }
        var nan = sample.values
        nan[77] = .nan
        #expect(throws: CompressionError.self) { try solve(nan, columns: 32, metric: identity(32)) }
    }

    @Test func observationLayersCoverMost() {
        var layers = ObservationLayers(layers: 6)
        // Layers 0–1, 2–4 and 5 agree among themselves.
        for (layer, tokens) in [[1, 2, 3], [1, 2, 4], [7, 8, 9], [7, 8, 9], [7, 8, 10], [20, 21, 22]].enumerated() {
            layers.add(layer: layer, tokens)
        }
        let three = layers.best(count: 3)
        #expect(three.layers == [0, 2, 5])
        #expect(abs(three.coverage - (1 + 2.0 / 3 + 1 + 1 + 2.0 / 3 + 1) / 6) < 1e-12)
        #expect(layers.best(count: 1).layers == [0])
    }
}
