// SPDX-License-Identifier: Apache-2.0
import Kernels

/// How a layer's rows follow, linearly, from the same tokens' decoded rows in the layers before: least squares over the
/// calibration's rows, with a thousandth of the moments on the diagonal so that directions that hardly vary do no harm.
struct LayerPrediction {
    /// [columns]: mean of the layer's rows.
    let mean: [Double]
    /// [sources · columns]
    let sourceMean, sourceScale: [Double]
    /// [columns][sources · columns], as a compressor keeps it; empty without sources.
    let matrix: EightBitMatrix
    /// The same in fp32, transposed: [sources · columns][columns].
    private let map: [Float]
    private let columns: Int

    private var width: Int { sourceMean.count }

    /// - Parameters:
    ///   - rows: [count][columns]
    ///   - sources: Decoded rows of the layers before, the nearest first, [count][columns] each.
    init(
        rows: UnsafePointer<Float>, sources: [UnsafePointer<Float>], count: Int, columns: Int, _ blas: OpenBLAS
    ) throws(CompressionError) {
        self.columns = columns
        mean = Moments(rows, count: count, columns: columns).mean
        let moments = sources.map { Moments($0, count: count, columns: columns) }
        sourceMean = moments.flatMap(\.mean)
        sourceScale = moments.flatMap { $0.deviation.map { 1 / $0 } }
        guard !sources.isEmpty else {
            (matrix, map) = (.empty, [])
            return
        }
        let solution = try Self.solve(
            rows, sources, mean, sourceMean, sourceScale, count: count, columns: columns, blas)
        let width = sourceMean.count
        matrix = EightBitMatrix(solution, columns: width)
        map = (0..<solution.count).map { Float(solution[$0 % columns * width + $0 / columns]) }
    }

    /// [columns][sources · columns]
    private static func solve(
        _ rows: UnsafePointer<Float>, _ sources: [UnsafePointer<Float>], _ mean: [Double], _ sourceMean: [Double],
        _ sourceScale: [Double], count: Int, columns: Int, _ blas: OpenBLAS
    ) throws(CompressionError) -> [Double] {
        let width = sourceMean.count
        var moments = Array(repeating: 0.0, count: width * width),
            crossed = Array(repeating: 0.0, count: columns * width)
        var part = Array(repeating: Float(0), count: width * width), x = Array(repeating: Float(0), count: 256 * width)
        var y = Array(repeating: Float(0), count: 256 * columns)
        for first in stride(from: 0, to: count, by: 256) {
            let n = min(256, count - first)
            centre(sources, first, n, sourceMean, sourceScale, columns, into: &x)
            for i in 0..<n * columns { y[i] = rows[first * columns + i] - Float(mean[i % columns]) }
            blas.multiply(x, transposed: true, x, into: &part, m: width, n: width, k: n)
            for i in 0..<width * width { moments[i] += Double(part[i]) }
            blas.multiply(y, transposed: true, x, into: &part, m: columns, n: width, k: n)
            for i in 0..<columns * width { crossed[i] += Double(part[i]) }
        }
        for i in 0..<width { moments[i * width + i] += 1e-3 * Double(count) }
        do throws(KernelError) { return try blas.solve(symmetric: moments, n: width, right: crossed) } catch {
            throw .kernel(error)
        }
    }

    /// Centred and scaled rows of all sources side by side, [n][sources · columns].
    private static func centre(
        _ sources: [UnsafePointer<Float>], _ first: Int, _ n: Int, _ mean: [Double], _ scale: [Double], _ columns: Int,
        into x: inout [Float]
    ) {
        let width = mean.count
        for (index, source) in sources.enumerated() {
            for row in 0..<n {
                for i in 0..<columns {
                    let at = index * columns + i
                    x[row * width + at] = (source[(first + row) * columns + i] - Float(mean[at])) * Float(scale[at])
                }
            }
        }
    }

    /// What the prediction and the mean leave of rows: `rest` [count][columns].
    func rest(
        of rows: UnsafePointer<Float>, sources: [UnsafePointer<Float>], count: Int,
        into rest: UnsafeMutablePointer<Float>,
        _ blas: OpenBLAS
    ) {
        var x = Array(repeating: Float(0), count: 256 * max(1, width))
        var predicted = Array(repeating: Float(0), count: 256 * columns)
        let mean = mean.map(Float.init)
        for first in stride(from: 0, to: count, by: 256) {
            let n = min(256, count - first)
            if width > 0 {
                Self.centre(sources, first, n, sourceMean, sourceScale, columns, into: &x)
                blas.multiply(x, map, into: &predicted, m: n, n: columns, k: width)
            }
            for i in 0..<n * columns {
                rest[first * columns + i] = rows[first * columns + i] - predicted[i] - mean[i % columns]
            }
        }
    }
}

/// Means and deviations by columns, in fp64.
struct Moments {
    let mean, deviation: [Double]

    init(_ rows: UnsafePointer<Float>, count: Int, columns: Int) {
        var sums = Array(repeating: 0.0, count: columns), squares = sums
        for row in 0..<count {
            for i in 0..<columns {
                let value = Double(rows[row * columns + i])
                sums[i] += value
                squares[i] += value * value
            }
        }
        let mean = sums.map { $0 / Double(count) }
        let deviation = zip(squares, mean).map { max(0, $0 / Double(count) - $1 * $1).squareRoot() }
        // A constant column has nothing to code; a small deviation keeps its scale finite.
        let floor = 1e-3 * deviation.reduce(0, +) / Double(columns) + 1e-12
        self.mean = mean
        self.deviation = deviation.map { max($0, floor) }
    }
}
