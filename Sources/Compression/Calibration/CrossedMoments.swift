// SPDX-License-Identifier: Apache-2.0
import Kernels

/// Second moments of a layer's rows and of the rows that they are predicted from, summed in fp64.
struct CrossedMoments {
    let columns: Int
    private let count: Int
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

    /// The second moment of rows, [columns][columns].
    var rows: [Double] { own.map { $0 / Double(count) } }

    /// Elements of all sources side by side that belong to inputs, of which each is half of a source.
    func elements(of inputs: [Int]) -> [Int] {
        inputs.flatMap { $0 * columns / 2..<($0 + 1) * columns / 2 }
    }

    /// The map from inputs, [columns][inputs · columns / 2].
    func solve(_ inputs: [Int], _ blas: OpenBLAS) throws(CompressionError) -> [Double] {
        let used = elements(of: inputs)
        var matrix = gathered(sources, columns: used, rows: used)
        for i in used.indices { matrix[i * used.count + i] += 1e-3 * Double(count) }
        do throws(KernelError) {
            return try blas.solve(
                symmetric: matrix, n: used.count, right: gathered(crossed, columns: used, rows: Array(0..<columns)))
        } catch {
            throw .kernel(error)
        }
    }

    /// The second moment of what a map from inputs leaves of rows, [columns][columns].
    func rest(_ map: [Double], _ inputs: [Int], _ blas: OpenBLAS, on pool: ThreadPool) -> [Double] {
        // Least squares: what the map explains is map · crossedᵀ, but for what was added to the diagonal.
        let used = elements(of: inputs), map = map.map(Float.init)
        let crossed = gathered(crossed, columns: used, rows: Array(0..<columns)).map(Float.init)
        var explained = Array(repeating: Float(0), count: columns * columns)
        blas.multiplyTransposed(map, crossed, into: &explained, m: columns, n: columns, k: used.count, on: pool)
        return own.indices.map { at in
            let i = at / columns, j = at % columns
            return (own[at] - Double(explained[at] + explained[j * columns + i]) / 2) / Double(count)
        }
    }

    /// Some rows and columns of [rows][width].
    private func gathered(_ matrix: [Double], columns: [Int], rows: [Int]) -> [Double] {
        rows.flatMap { row in columns.map { matrix[row * width + $0] } }
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
