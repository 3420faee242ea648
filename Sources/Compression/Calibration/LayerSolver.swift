// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// Solves one layer's codec from its calibration rows: prediction from the layers before, whitening by the metric,
/// prototypes, the basis of what prediction leaves, and how symbols are distributed.
struct LayerSolver {
    let layer: Int
    let settings: CodecSettings
    let blas: OpenBLAS
    let compute: Compute
    /// [tokens][columns]; texts of the given lengths follow each other.
    let rows: UnsafeMutablePointer<Float>
    /// The same tokens' rows as decoded in the layers before, the nearest first, [tokens][columns] each.
    let sources: [UnsafeMutablePointer<Float>]
    let lengths: [Int]
    let columns: Int
    /// [columns][columns]: what errors cost.
    let metric: [Double]
    /// The quantisation step: the square root of what an error of that size costs.
    let step: Double

    /// What a layer's calibration found.
    struct Solution {
        let parameters: LayerParameters
        /// How often symbols came up, [classes][symbols].
        let counts: [Double]
        let report: LayerReport
    }

    private var tokens: Int { lengths.reduce(0, +) }

    /// Solves the layer and leaves its rows as decoded, [tokens][columns], in `decoded`.
    func solve(decoded: UnsafeMutablePointer<Float>) throws(CompressionError) -> Solution {
        let inputs = sources.map { UnsafePointer($0) }
        guard Moments(rows, count: tokens, columns: columns).mean.allSatisfy(\.isFinite) else {
            throw .nonFiniteRow(layer: layer)
        }
        let rate = try CodingRate(
            metric: metric, step: step, columns: columns, layer: layer, blas, on: compute.pool)
        let prediction = try LayerPrediction(
            rows: rows, sources: inputs, count: tokens, columns: columns, rate: rate.bits, blas, on: compute.pool)
        let rest = try CompressionError.reserve(4 * tokens * columns)
        prediction.rest(of: rows, sources: inputs, count: tokens, into: rest.floats(), blas, on: compute.pool)
        let deviation = Moments(rest.floats(), count: tokens, columns: columns).deviation
        let whitening = try Whitening(metric: metric, deviation: deviation, columns: columns, layer: layer, blas)
        let sample = try whitened(rest.floats(), whitening, deviation)
        let centres = Prototypes.find(
            sample.floats(), rows: sampleCount, columns: columns, count: settings.prototypes, blas,
            on: compute.pool)
        let left = covariance(of: residuals(sample, from: centres))
        let coefficients = try CoefficientCount.find(
            whole: covariance(of: sample.floats()), left: left, step: step, blas, on: compute.pool)
        func transform(_ covariance: Covariance, _ basis: [Double]?) throws(CompressionError) -> LayerTransform {
            try LayerTransform(
                whitening: whitening, prediction: prediction, deviation: deviation, covariance: covariance,
                basis: basis, coefficients: coefficients, centres: centres, step: step, layer: layer, blas,
                on: compute.pool)
        }
        let first = try transform(left, nil)
        let second = try transform(
            code(first.parameters).trace.covariance(step: step, blas, on: compute.pool), first.basis)
        let trace = try code(second.parameters).trace
        var parameters = second.parameters
        var counts = Array(repeating: 0.0, count: CodeTables.classes * CodeTables.symbols)
        parameters.rows = trace.mode(references: false, step: DKV_FINE, counts: &counts)
        parameters.references = trace.mode(references: true, step: LayerCodec.referenceStep, counts: &counts)
        let coded = try code(parameters, decoded: decoded)
        let bits = Double(8 * coded.bytes) / Double(tokens)
        let report = LayerReport(
            layer: layer, step: step, residualShare: coded.trace.energy(step: step) / energy(),
            bitsPerRow: bits, ratio: bits / Double(16 * columns))
        return Solution(parameters: parameters, counts: counts, report: report)
    }

    /// The rows' mean energy around their mean, in the metric.
    private func energy() -> Double {
        var covariance = Covariance(columns: columns)
        let count = min(tokens, 4096), mean = Moments(rows, count: count, columns: columns).mean
        covariance.add(
            (0..<count * columns).map { rows[$0] - Float(mean[$0 % columns]) }, count: count, blas,
            on: compute.pool)
        return zip(covariance.mean, metric).reduce(1e-300) { $0 + $1.0 * $1.1 }
    }

    // MARK: Whitened rows

    private var sampleCount: Int { min(tokens, 8192) }

    private func whitened(
        _ rest: UnsafePointer<Float>, _ whitening: Whitening, _ deviation: [Double]
    ) throws(CompressionError) -> ReservedMemory {
        let memory = try CompressionError.reserve(4 * sampleCount * columns)
        let matrix = whitening.forward.map(Float.init), scale = deviation.map { Float(1 / $0) }
        var piece = Array(repeating: Float(0), count: 512 * columns)
        for first in stride(from: 0, to: sampleCount, by: 512) {
            let count = min(512, sampleCount - first)
            for row in 0..<count {
                let source = (first + row) * tokens / sampleCount * columns
                for i in 0..<columns { piece[row * columns + i] = rest[source + i] * scale[i] }
            }
            blas.multiplyTransposed(
                piece, matrix, into: memory.floats(at: 4 * first * columns), m: count, n: columns, k: columns,
                on: compute.pool)
        }
        return memory
    }

    private func residuals(_ sample: ReservedMemory, from centres: [Float]) -> [Float] {
        var dots = Array(repeating: Float(0), count: sampleCount * settings.prototypes)
        let nearest = Prototypes.assign(
            sample.floats(), sampleCount, columns, centres, settings.prototypes, &dots, blas, on: compute.pool)
        let y = sample.floats()
        return (0..<sampleCount * columns).map { y[$0] - centres[nearest[$0 / columns] * columns + $0 % columns] }
    }

    /// Of as many rows as a sample has.
    private func covariance(of rows: UnsafePointer<Float>) -> Covariance {
        var covariance = Covariance(columns: columns)
        covariance.add(rows, count: sampleCount, blas, on: compute.pool)
        return covariance
    }

    // MARK: Coding

    /// Codes all texts; keeps what prediction left and what became of it, and if wanted the rows as they decode.
    private func code(
        _ parameters: LayerParameters, decoded: UnsafeMutablePointer<Float>? = nil
    ) throws(CompressionError) -> (trace: LayerTrace, bytes: Int) {
        let codec = try LayerCodec(
            layer: layer, settings: settings, parameters: parameters, tables: CodeTables.geometric())
        let work = try CodecWorkspace(columns: columns, compute: compute)
        let trace = LayerTrace(rows: tokens, columns: parameters.coefficients)
        var first = 0, bytes = 0
        for length in lengths {
            var history = CompressedRows()
            let table = try ReferenceTable(codec: codec), at = first * parameters.coefficients
            let sources = sources.prefix(parameters.sources).map {
                Matrix($0 + first * columns, rows: length, columns: columns)
            }
            try codec.encode(
                Matrix(rows + first * columns, rows: length, columns: columns), from: sources, appendingTo: &history,
                references: table, in: work,
                trace: CodingTrace(residuals: trace.residuals + at, values: trace.values + at))
            if let decoded {
                try codec.decode(
                    0..<length, of: history, from: sources, references: table,
                    into: Matrix(decoded + first * columns, rows: length, columns: columns), in: work)
            }
            for row in 0..<length { trace.isReference[first + row] = codec.isReference(row) }
            bytes += history.bytes.count + history.lengths.count
            first += length
        }
        return (trace, bytes)
    }
}
