// SPDX-License-Identifier: Apache-2.0
import Kernels
import Testing

@testable import Compression

/// What a layer is predicted from, and how many coefficients are left of it.
@Suite struct LayerPredictionTests {
    private let columns = 64, count = 2000

    /// The prediction of rows, and what it leaves of them.
    private func predict(
        _ rows: [Float], from sources: [[Float]]
    ) throws -> (prediction: LayerPrediction, rest: [Float]) {
        let blas = try OpenBLAS(), pool = try ThreadPool(threads: 2)
        let rate = try CodingRate(metric: identity(columns), step: 0.1, columns: columns, layer: 2, blas, on: pool)
        return try rows.withUnsafeBufferPointer { rows in
            try sources[0].withUnsafeBufferPointer { first in
                try sources[1].withUnsafeBufferPointer { second in
                    let rows = try #require(rows.baseAddress)
                    let sources = [try #require(first.baseAddress), try #require(second.baseAddress)]
                    let prediction = try LayerPrediction(
                        rows: rows, sources: sources, count: count, columns: columns, rate: rate.bits, blas, on: pool)
                    var rest = Array(repeating: Float(0), count: count * columns)
                    prediction.rest(of: rows, sources: sources, count: count, into: &rest, blas, on: pool)
                    return (prediction, rest)
                }
            }
        }
    }

    private func noise(_ seed: UInt64) -> [Float] {
        var random = Random(seed)
        return (0..<count * columns).map { _ in random.value() }
    }

    /// Rows that follow from the keys of the second source, and to some degree from the values of the first.
    private func rows(_ sources: [[Float]], degree: Float) -> [Float] {
        noise(9).indices.map { i in
            let row = i / columns * columns, key = (i * 5 + 3) % (columns / 2)
            return sources[1][row + key] + degree * sources[0][row + columns / 2 + key]
        }
    }

    private func energy(_ values: [Float]) -> Double {
        values.reduce(0) { $0 + Double($1 * $1) } / Double(values.count)
    }

    @Test func onlyWhatSavesBitsIsTaken() throws {
        let sources = [noise(1), noise(2)]
        let alone = try predict(rows(sources, degree: 0), from: sources)
        #expect(alone.prediction.inputs == [2] && alone.prediction.sources == 2)
        #expect(alone.prediction.matrix.rows == columns && alone.prediction.matrix.columns == columns / 2)
        #expect(energy(alone.rest) < 1e-3 * energy(sources[1]), "keys tell all")
        #expect(try predict(rows(sources, degree: 1), from: sources).prediction.inputs == [1, 2])
        // What rounding hides anyway is not worth a product.
        #expect(try predict(rows(sources, degree: 0.01), from: sources).prediction.inputs == [2])
    }

    @Test func directionsOfLittleEnergyAreLeftOut() throws {
        let step = 0.5, unit = step * step / 12, rows = 4096
        func moment(_ energies: [Double]) throws -> Covariance {
            let n = energies.count
            var random = Random(3), values = (0..<rows * n).map { _ in random.value() }
            // Of variance 1 before.
            let variance = values.reduce(0) { $0 + Double($1 * $1) } / Double(values.count)
            for i in values.indices { values[i] *= Float((energies[i % n] * unit / variance).squareRoot()) }
            var covariance = Covariance(columns: n)
            covariance.add(values, count: rows, try OpenBLAS(), on: try ThreadPool(threads: 2))
            return covariance
        }
        func count(_ whole: [Double], left: [Double]) throws -> Int {
            try CoefficientCount.find(
                whole: moment(whole), left: moment(left), step: step, OpenBLAS(), on: ThreadPool(threads: 2))
        }
        // Groups of 32; the last is what prototypes leave least of.
        func groups(_ energies: Double...) -> [Double] { energies.flatMap { Array(repeating: $0, count: 32) } }
        #expect(try count(groups(30, 9, 3, 1), left: groups(30, 9, 3, 1)) == 96)
        #expect(try count(groups(30, 9, 1, 1), left: groups(30, 9, 1, 0.9)) == 64)
        #expect(
            try count(groups(30, 9, 3, 5), left: groups(3, 0.9, 0.3, 0.1)) == 128,
            "prototypes know the last, but need it")
        #expect(try count(groups(1, 0.5, 0.1, 0.01), left: groups(1, 0.5, 0.1, 0.01)) == 32, "some are kept")
        let little = groups(1, 1, 1, 1, 0.9, 0.9, 0.9, 0.9)
        #expect(try count(little, left: little) == 64, "a quarter")
    }
}
