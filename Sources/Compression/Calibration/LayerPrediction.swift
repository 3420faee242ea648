// SPDX-License-Identifier: Apache-2.0
import Kernels

/// How a layer's rows follow, linearly, from the same tokens' decoded rows in the layers before: least squares over the
/// calibration's rows, with a thousandth of the moments on the diagonal so that directions that hardly vary do no harm.
///
/// The product is most of what coding and decoding cost, so a layer is predicted from a second one before it only where that
/// saves enough bits.
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

    /// Layers before this one that its rows are predicted from.
    var sources: Int { width / columns }

    /// Bits for each of a row's elements that a further source has to save.
    private static let leastGain = 0.09

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
            (sourceMean, sourceScale, matrix, map) = ([], [], .empty, [])
            return
        }
        let products = CrossedMoments(
            rows, mean, sources, means, scales, count: count, columns: columns, blas, on: pool)
        var width = columns, solution = try products.solve(width: width, blas)
        if sources.count > 1 {
            let further = try products.solve(width: means.count, blas)
            let left = products.rest(solution, width: width, blas, on: pool)
            let gain = rate(left) - rate(products.rest(further, width: means.count, blas, on: pool))
            if gain >= Self.leastGain * Double(columns) { (width, solution) = (means.count, further) }
        }
        sourceMean = Array(means[..<width])
        sourceScale = Array(scales[..<width])
        matrix = EightBitMatrix(solution, columns: width)
        map = (0..<solution.count).map { Float(solution[$0 % columns * width + $0 / columns]) }
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

/// Second moments of a layer's rows and of the rows that they are predicted from, summed in fp64.
struct CrossedMoments {
    private let count, columns: Int
    /// Elements of all sources.
    private let width: Int
    /// [width][width], [columns][width], [columns][columns]: of the sources, of rows with them, of rows.
    private var sources, crossed, own: [Double]

    /// Rows whose products are summed in fp32, before fp64 takes them.
    static let block = 512

    init(
        _ rows: UnsafePointer<Float>, _ mean: [Double], _ sources: [UnsafePointer<Float>], _ sourceMean: [Double],
        _ sourceScale: [Double], count: Int, columns: Int, _ blas: OpenBLAS, on pool: ThreadPool
    ) {
        let width = sourceMean.count
        self.count = count
        self.columns = columns
        self.width = width
        self.sources = Array(repeating: 0, count: width * width)
        crossed = Array(repeating: 0, count: columns * width)
        own = Array(repeating: 0, count: columns * columns)
        var part = Array(repeating: Float(0), count: max(width, columns) * width)
        var x = Array(repeating: Float(0), count: Self.block * width)
        var y = Array(repeating: Float(0), count: Self.block * columns)
        let ones = Array(repeating: 1.0, count: columns)
        for first in stride(from: 0, to: count, by: Self.block) {
            let n = min(Self.block, count - first)
            Self.centred(sources[...], first, n, sourceMean, sourceScale, columns, into: &x)
            Self.centred([rows], first, n, mean, ones, columns, into: &y)
            blas.multiply(x, transposed: true, x, into: &part, m: width, n: width, k: n, on: pool)
            Self.add(part, to: &self.sources)
            blas.multiply(y, transposed: true, x, into: &part, m: columns, n: width, k: n, on: pool)
            Self.add(part, to: &crossed)
            blas.multiply(y, transposed: true, y, into: &part, m: columns, n: columns, k: n, on: pool)
            Self.add(part, to: &own)
        }
    }

    private static func add(_ part: [Float], to sums: inout [Double]) {
        for i in sums.indices { sums[i] += Double(part[i]) }
    }

    /// Centred and scaled rows of all sources side by side, [n][sources · columns].
    static func centred(
        _ sources: ArraySlice<UnsafePointer<Float>>, _ first: Int, _ n: Int, _ mean: [Double], _ scale: [Double],
        _ columns: Int, into x: inout [Float]
    ) {
        let width = mean.count, mean = mean.map(Float.init), scale = scale.map(Float.init)
        for (index, source) in sources.enumerated() {
            for row in 0..<n {
                let from = source + (first + row) * columns, at = index * columns
                for i in 0..<columns { x[row * width + at + i] = (from[i] - mean[at + i]) * scale[at + i] }
            }
        }
    }

    /// The map from the first `used` of the sources' elements, [columns][used].
    func solve(width used: Int, _ blas: OpenBLAS) throws(CompressionError) -> [Double] {
        var matrix = leading(used, of: sources, rows: used)
        for i in 0..<used { matrix[i * used + i] += 1e-3 * Double(count) }
        do throws(KernelError) {
            return try blas.solve(symmetric: matrix, n: used, right: leading(used, of: crossed, rows: columns))
        } catch {
            throw .kernel(error)
        }
    }

    /// The second moment of what a map leaves of rows, [columns][columns].
    func rest(_ map: [Double], width used: Int, _ blas: OpenBLAS, on pool: ThreadPool) -> [Double] {
        // Least squares: what the map explains is map · crossedᵀ, but for what was added to the diagonal.
        let map = map.map(Float.init), crossed = leading(used, of: crossed, rows: columns).map(Float.init)
        var explained = Array(repeating: Float(0), count: columns * columns)
        blas.multiplyTransposed(map, crossed, into: &explained, m: columns, n: columns, k: used, on: pool)
        return own.indices.map { at in
            let i = at / columns, j = at % columns
            return (own[at] - Double(explained[at] + explained[j * columns + i]) / 2) / Double(count)
        }
    }

    /// The first columns of the first rows of [rows][width].
    private func leading(_ used: Int, of matrix: [Double], rows: Int) -> [Double] {
        (0..<rows * used).map { matrix[$0 / used * width + $0 % used] }
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
