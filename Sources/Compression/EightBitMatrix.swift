// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// A matrix in int8, with a scale for each row.
public struct EightBitMatrix: Sendable, Equatable {
    /// Rows and columns.
    public let rows, columns: Int
    /// [rows][columns]
    public let codes: [Int8]
    /// [rows]
    public let scales: [Float]

    /// No rows and no columns.
    static let empty = EightBitMatrix(rows: 0, columns: 0, codes: [], scales: [])

    init(rows: Int, columns: Int, codes: [Int8], scales: [Float]) {
        self.rows = rows
        self.columns = columns
        self.codes = codes
        self.scales = scales
    }

    /// The nearest to a row-major matrix.
    init(_ values: [Double], columns: Int) {
        let rows = values.count / columns
        var codes: [Int8] = [], scales: [Float] = []
        codes.reserveCapacity(values.count)
        for row in 0..<rows {
            let values = values[row * columns..<(row + 1) * columns]
            let scale = Float(values.reduce(0) { max($0, abs($1)) } / 127)
            scales.append(scale)
            for value in values {
                let code = scale > 0 ? (value / Double(scale)).rounded(.toNearestOrEven) : 0
                codes.append(Int8(max(-127, min(127, code))))
            }
        }
        self.init(rows: rows, columns: columns, codes: codes, scales: scales)
    }

    /// Whether it has a shape that kernels take, or none, and numbers in it.
    var isValid: Bool {
        rows % Int(DKV_LANES) == 0 && columns % 4 == 0 && codes.count == rows * columns && scales.count == rows
            && scales.allSatisfy(\.isFinite)
    }
}

/// A matrix as kernels multiply it.
final class PackedEightBitMatrix {
    let matrix: dkv_matrix
    private let memory: ReservedMemory

    /// - Throws: ``CompressionError/kernel(_:)``.
    init(_ source: EightBitMatrix) throws(CompressionError) {
        let panelBytes = dkv_panel_bytes(source.columns, source.rows)
        memory = try CompressionError.reserve(panelBytes + 4 * source.rows)
        let panels = memory.base.assumingMemoryBound(to: UInt8.self), scales = memory.floats(at: panelBytes)
        source.codes.withUnsafeBufferPointer { codes in
            guard let base = codes.baseAddress else { return }
            for row in 0..<source.rows { dkv_panel_set(panels, source.columns, row, base + row * source.columns) }
        }
        scales.update(from: source.scales, count: source.rows)
        matrix = dkv_matrix(outputs: source.rows, inputs: source.columns, panels: panels, scales: scales)
    }
}
