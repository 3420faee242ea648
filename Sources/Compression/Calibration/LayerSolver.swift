// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// Solves one layer's codec from its calibration rows: whitening by the metric, prototypes, the basis of what prediction
/// leaves, the step, and how symbols are distributed.
struct LayerSolver {
    let layer: Int
    let settings: CodecSettings
    let blas: OpenBLAS
    /// One thread of its own; layers are solved side by side.
    let compute: Compute
    /// [tokens][columns]; texts of the given lengths follow each other.
    let rows: UnsafeMutablePointer<Float>
    let lengths: [Int]
    let columns: Int
    /// [columns][columns]
    let metric: [Double]

    /// What a layer's calibration found.
    struct Solution {
        let parameters: LayerParameters
        /// How often symbols came up, [classes][symbols].
        let counts: [Double]
        let report: LayerReport
    }

    private var tokens: Int { lengths.reduce(0, +) }

    func solve() throws(CompressionError) -> Solution {
        let (mean, deviation) = moments()
        guard mean.allSatisfy(\.isFinite) else { throw .nonFiniteRow(layer: layer) }
        let whitening = try Whitening(metric: metric, deviation: deviation, columns: columns, layer: layer, blas)
        let sample = try whitened(whitening, mean, deviation)
        let centres = Prototypes.find(
            sample.floats(), rows: sampleCount, columns: columns, count: settings.prototypes, blas)
        let raw = basis(of: residuals(sample, from: centres))
        var transform = try LayerTransform(
            whitening: whitening, mean: mean, deviation: deviation, covariance: raw, basis: nil, centres: centres,
            step: settings.step * 0.8, settings: settings, layer: layer, blas)
        let first = try trace(transform.parameters)
        transform = try LayerTransform(
            whitening: whitening, mean: mean, deviation: deviation,
            covariance: first.covariance(step: transform.stepSize, blas), basis: transform.basis, centres: centres,
            step: settings.step, settings: settings, layer: layer, blas)
        let second = try trace(transform.parameters)
        var parameters = transform.parameters
        var counts = Array(repeating: 0.0, count: CodeTables.classes * CodeTables.symbols)
        parameters.rows = second.mode(references: false, step: DKV_FINE, counts: &counts)
        parameters.references = second.mode(references: true, step: LayerCodec.referenceStep, counts: &counts)
        let bits = try bitsPerRow(parameters)
        let report = LayerReport(
            layer: layer, step: transform.stepSize, residualShare: second.residualShare(transform, sample, sampleCount),
            bitsPerRow: bits, ratio: bits / Double(16 * columns))
        return Solution(parameters: parameters, counts: counts, report: report)
    }

    // MARK: Moments

    private func moments() -> (mean: [Double], deviation: [Double]) {
        var sums = Array(repeating: 0.0, count: columns), squares = sums
        for row in 0..<tokens {
            for i in 0..<columns {
                let value = Double(rows[row * columns + i])
                sums[i] += value
                squares[i] += value * value
            }
        }
        let mean = sums.map { $0 / Double(tokens) }
        let deviation = zip(squares, mean).map { max(0, $0 / Double(tokens) - $1 * $1).squareRoot() }
        // A constant column has nothing to code; a small deviation keeps its scale finite.
        let floor = 1e-3 * deviation.reduce(0, +) / Double(columns) + 1e-12
        return (mean, deviation.map { max($0, floor) })
    }

    // MARK: Whitened rows

    private var sampleCount: Int { min(tokens, 8192) }

    private func whitened(
        _ whitening: Whitening, _ mean: [Double], _ deviation: [Double]
    ) throws(CompressionError) -> ReservedMemory {
        let memory: ReservedMemory
        do throws(KernelError) {
            memory = try ReservedMemory(count: 4 * sampleCount * columns)
        } catch {
            throw .kernel(error)
        }
        let matrix = whitening.forward.map(Float.init)
        var piece = Array(repeating: Float(0), count: 512 * columns)
        for first in stride(from: 0, to: sampleCount, by: 512) {
            let count = min(512, sampleCount - first)
            for row in 0..<count {
                let source = (first + row) * tokens / sampleCount * columns
                for i in 0..<columns {
                    piece[row * columns + i] = Float((Double(rows[source + i]) - mean[i]) / deviation[i])
                }
            }
            piece.withUnsafeBufferPointer { piece in
                matrix.withUnsafeBufferPointer { matrix in
                    blas.multiplyTransposed(
                        piece, matrix,
                        into: UnsafeMutableBufferPointer(
                            start: memory.floats(at: 4 * first * columns), count: count * columns), m: count,
                        n: columns, k: columns)
                }
            }
        }
        return memory
    }

    private func residuals(_ sample: ReservedMemory, from centres: [Float]) -> [Float] {
        var dots = Array(repeating: Float(0), count: sampleCount * settings.prototypes)
        let nearest = Prototypes.assign(
            sample.floats(), sampleCount, columns, centres, settings.prototypes, &dots, blas)
        let y = sample.floats()
        return (0..<sampleCount * columns).map { y[$0] - centres[nearest[$0 / columns] * columns + $0 % columns] }
    }

    private func basis(of residuals: [Float]) -> Covariance {
        var covariance = Covariance(columns: columns)
        residuals.withUnsafeBufferPointer {
            if let base = $0.baseAddress { covariance.add(base, count: residuals.count / columns, blas) }
        }
        return covariance
    }

    // MARK: Coding

    /// What rows of the first text cost.
    private func bitsPerRow(_ parameters: LayerParameters) throws(CompressionError) -> Double {
        let codec = try LayerCodec(
            layer: layer, settings: settings, parameters: parameters, tables: CodeTables.geometric())
        var history = CompressedRows()
        let count = min(lengths[0], 1024)
        try codec.encode(
            Matrix(rows, rows: count, columns: columns), appendingTo: &history,
            references: ReferenceTable(codec: codec), in: CodecWorkspace(columns: columns, compute: compute))
        return Double(8 * (history.bytes.count + history.lengths.count)) / Double(count)
    }

    /// Codes all texts and keeps what prediction left and what became of it.
    private func trace(_ parameters: LayerParameters) throws(CompressionError) -> LayerTrace {
        let codec = try LayerCodec(
            layer: layer, settings: settings, parameters: parameters, tables: CodeTables.geometric())
        let work = try CodecWorkspace(columns: columns, compute: compute)
        let trace = LayerTrace(rows: tokens, columns: columns)
        var first = 0
        for length in lengths {
            var history = CompressedRows()
            let table = try ReferenceTable(codec: codec)
            try codec.encode(
                Matrix(rows + first * columns, rows: length, columns: columns), appendingTo: &history,
                references: table,
                in: work,
                trace: CodingTrace(
                    residuals: trace.residuals + first * columns, values: trace.values + first * columns))
            for row in 0..<length { trace.isReference[first + row] = codec.isReference(row) }
            first += length
        }
        return trace
    }
}
