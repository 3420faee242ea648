// SPDX-License-Identifier: Apache-2.0
import CCompression
import Glibc
import Kernels

/// What coding left of calibration rows, and the statistics drawn from it.
final class LayerTrace {
    let rows, columns: Int
    /// [rows][columns]
    let residuals, values: UnsafeMutablePointer<Int16>
    var isReference: [Bool]

    init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        residuals = .allocate(capacity: rows * columns)
        values = .allocate(capacity: rows * columns)
        isReference = Array(repeating: false, count: rows)
    }

    deinit {
        residuals.deallocate()
        values.deallocate()
    }

    /// Second moment of what prediction left of rows that are no references, in whitened units.
    func covariance(step: Double, _ blas: OpenBLAS, on pool: ThreadPool) -> Covariance {
        var covariance = Covariance(columns: columns), piece: [Float] = []
        let unit = Float(step / Double(DKV_FINE))
        func flush() {
            piece.withUnsafeBufferPointer {
                if let base = $0.baseAddress { covariance.add(base, count: piece.count / columns, blas, on: pool) }
            }
            piece.removeAll(keepingCapacity: true)
        }
        for row in 0..<rows where !isReference[row] {
            for i in 0..<columns { piece.append(Float(residuals[row * columns + i]) * unit) }
            if piece.count == 512 * columns { flush() }
        }
        if !piece.isEmpty { flush() }
        return covariance
    }

    /// The mean energy that prediction leaves of rows that are no references, in whitened units.
    func energy(step: Double) -> Double {
        var left = 0.0, counted = 0
        for row in 0..<rows where !isReference[row] {
            for i in 0..<columns { left += Double(residuals[row * columns + i]) * Double(residuals[row * columns + i]) }
            counted += 1
        }
        let unit = step / Double(DKV_FINE)
        return left * unit * unit / Double(max(1, counted))
    }

    /// Classes, shifts and gain thresholds of one kind of row; adds its symbols to the counts by class.
    func mode(references: Bool, step: Int32, counts: inout [Double]) -> LayerParameters.Mode {
        let chosen = (0..<rows).filter { isReference[$0] == references }
        guard !chosen.isEmpty else { return .plain(coefficients: columns) }
        let sums = chosen.map { row in
            (0..<columns).reduce(0) { $0 + Int(abs(values[row * columns + $1])) }
        }
        let thresholds = Self.thresholds(mean: Double(sums.reduce(0, +)) / Double(chosen.count))
        let gains = sums.map { sum in thresholds.filter { sum >= Int($0) }.count - Int(DKV_GAIN_ZERO) }
        var magnitudes = Array(repeating: 0.0, count: columns)
        for (index, row) in chosen.enumerated() {
            let factor = pow(CodeTables.ratio, Double(-gains[index]))
            for i in 0..<columns { magnitudes[i] += Double(abs(values[row * columns + i])) * factor }
        }
        let classes = magnitudes.map { CodeTables.classOf(magnitude: $0 / Double(chosen.count)) }
        for (index, row) in chosen.enumerated() {
            for i in 0..<columns where classes[i] > 0 {
                let place = max(1, min(CodeTables.classes - 1, Int(classes[i]) + gains[index]))
                counts[place * CodeTables.symbols + Self.symbol(values[row * columns + i])] += 1
            }
        }
        return LayerParameters.Mode(classes: classes, shifts: shifts(chosen, step: step), thresholds: thresholds)
    }

    private static func thresholds(mean: Double) -> [UInt32] {
        (0..<Int(DKV_GAINS) - 1).map { gain in
            let exponent = Double(gain - Int(DKV_GAIN_ZERO)) + 0.5
            return UInt32(max(1, (mean * pow(CodeTables.ratio, exponent)).rounded(.up)))
        }
    }

    private static func symbol(_ value: Int16) -> Int {
        let magnitude = Int(abs(value))
        guard magnitude <= Int(DKV_HALF_ALPHABET) else { return Int(DKV_ESCAPE) }
        return value > 0 ? 2 * magnitude - 1 : 2 * magnitude
    }

    /// Where the mean of what became ±1, and of what became more, lies beside the middle of its cell.
    private func shifts(_ chosen: [Int], step: Int32) -> [Int8] {
        var sums = Array(repeating: 0.0, count: 2 * columns), counts = sums
        for row in chosen {
            for i in 0..<columns {
                let at = row * columns + i, magnitude = Int(abs(values[at]))
                guard magnitude > 0 else { continue }
                let kind = 2 * i + (magnitude > 1 ? 1 : 0)
                sums[kind] += Double(abs(Int(residuals[at])) - magnitude * Int(step))
                counts[kind] += 1
            }
        }
        // A few imagined hits in the middle keep rare columns from odd values.
        return zip(sums, counts).map { Int8(max(-8, min(8, ($0 / ($1 + 4)).rounded()))) }
    }
}
