// SPDX-License-Identifier: Apache-2.0
import Kernels

/// How a layer's rows follow, linearly, from the same tokens' decoded rows in the layers before: least squares over the
/// calibration's rows, with a thousandth of the moments on the diagonal so that directions that hardly vary do no harm.
///
/// The product is most of what coding and decoding cost. So a layer is predicted only from those keys and values of the two layers
/// before it that save enough bits.
struct LayerPrediction {
    /// [columns]: mean of the layer's rows.
    let mean: [Double]
    /// [sources · columns]
    let sourceMean, sourceScale: [Double]
    /// Keys and values of the layers before, as ``LayerParameters/inputs`` has them.
    let inputs: [Int]
    /// [columns][inputs · columns / 2], as a compressor keeps it; empty without inputs.
    let matrix: EightBitMatrix
    /// The same in fp32, transposed, with zeros for what is no input: [sources · columns][columns].
    private let map: [Float]
    private let columns: Int

    private var width: Int { sourceMean.count }

    /// Layers before this one that its rows are predicted from.
    var sources: Int { width / columns }

    /// Bits for each of a row's elements that the keys of a layer, or its values, have to save.
    private static let leastGain = 0.07

    /// - Parameters:
    ///   - rows: [count][columns]
    ///   - sources: Decoded rows of the layers before, the nearest first, [count][columns] each.
    ///   - rate: What rows would cost of which the prediction leaves a second moment, [columns][columns]: bits each.
    init(
        rows: UnsafePointer<Float>, sources: [UnsafePointer<Float>], count: Int, columns: Int,
        rate: ([Double]) -> Double, _ blas: OpenBLAS, on pool: ThreadPool
    ) throws(CompressionError) {
        self.columns = columns
        mean = Moments(rows, count: count, columns: columns).mean
        let moments = sources.map { Moments($0, count: count, columns: columns) }
        let means = moments.flatMap(\.mean), scales = moments.flatMap { $0.deviation.map { 1 / $0 } }
        guard !sources.isEmpty else {
            (sourceMean, sourceScale, inputs, matrix, map) = ([], [], [], .empty, [])
            return
        }
        let products = CrossedMoments(
            rows, mean, sources, means, scales, count: count, columns: columns, blas, on: pool)
        let (inputs, weights) = try Self.choose(2 * sources.count, products, rate, blas, on: pool)
        self.inputs = inputs
        let width = inputs.count * columns / 2, all = (inputs.last.map { $0 / 2 + 1 } ?? 0) * columns
        sourceMean = Array(means[..<all])
        sourceScale = Array(scales[..<all])
        matrix = inputs.isEmpty ? .empty : EightBitMatrix(weights, columns: width)
        var map = Array(repeating: Float(0), count: all * columns)
        for (index, element) in products.elements(of: inputs).enumerated() {
            for row in 0..<columns { map[element * columns + row] = Float(weights[row * width + index]) }
        }
        self.map = map
    }

    /// Tries any of so many inputs together, and none.
    private static func choose(
        _ count: Int, _ products: CrossedMoments, _ rate: ([Double]) -> Double, _ blas: OpenBLAS, on pool: ThreadPool
    ) throws(CompressionError) -> (inputs: [Int], weights: [Double]) {
        var best = (inputs: [Int](), weights: [Double](), cost: rate(products.rows))
        for chosen in 1..<1 << count {
            let inputs = (0..<count).filter { chosen >> $0 & 1 == 1 }
            let weights = try products.solve(inputs, blas)
            let bits = rate(products.rest(weights, inputs, blas, on: pool))
            let cost = bits + leastGain * Double(inputs.count * products.columns)
            if cost < best.cost { best = (inputs, weights, cost) }
        }
        return (best.inputs, best.weights)
    }

    /// What the prediction and the mean leave of rows: `rest` [count][columns].
    func rest(
        of rows: UnsafePointer<Float>, sources: [UnsafePointer<Float>], count: Int,
        into rest: UnsafeMutablePointer<Float>, _ blas: OpenBLAS, on pool: ThreadPool
    ) {
        let block = CrossedMoments.block, mean = mean.map(Float.init)
        var x = Array(repeating: Float(0), count: block * max(1, width))
        var predicted = Array(repeating: Float(0), count: block * columns)
        for first in stride(from: 0, to: count, by: block) {
            let n = min(block, count - first)
            if width > 0 {
                CrossedMoments.centred(
                    sources.prefix(self.sources), first, n, sourceMean, sourceScale, columns, into: &x)
                blas.multiply(x, map, into: &predicted, m: n, n: columns, k: width, on: pool)
            }
            for row in 0..<n {
                let from = rows + (first + row) * columns, to = rest + (first + row) * columns
                for i in 0..<columns { to[i] = from[i] - predicted[row * columns + i] - mean[i] }
            }
        }
    }
}
