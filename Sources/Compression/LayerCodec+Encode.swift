// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// What calibration wants to see of coded rows.
struct CodingTrace {
    /// [rows][columns]: what prediction left, in fine units.
    var residuals: UnsafeMutablePointer<Int16>
    /// [rows][columns]: the same quantised.
    var values: UnsafeMutablePointer<Int16>
}

extension LayerCodec {
    /// Codes further rows of a sequence. Coding a sequence in any pieces gives the same bytes, on any machine and for any
    /// number of threads.
    ///
    /// - Parameters:
    ///   - rows: [rows][columns], `[keys before rotation | values]`.
    ///   - history: The sequence's rows of this layer so far; grows.
    ///   - references: The history's table; grows with it.
    /// - Throws: ``CompressionError``; the history is unchanged then.
    public func encode(
        _ rows: Matrix, appendingTo history: inout CompressedRows, references: ReferenceTable, in work: CodecWorkspace
    ) throws(CompressionError) {
        try encode(rows, appendingTo: &history, references: references, in: work, trace: nil)
    }

    func encode(
        _ rows: Matrix, appendingTo history: inout CompressedRows, references: ReferenceTable, in work: CodecWorkspace,
        trace: CodingTrace?
    ) throws(CompressionError) {
        precondition(rows.columns == columns && work.columns == columns, "shapes do not fit")
        precondition(references.references == self.references(before: history.count), "the table is of another history")
        for row in 0..<rows.rows where !dkv_finite(rows.base + row * rows.stride, columns) {
            throw .nonFiniteRow(layer: layer)
        }
        for first in stride(from: 0, to: rows.rows, by: work.maxRows) {
            let count = min(work.maxRows, rows.rows - first)
            let piece = Matrix(rows.base + first * rows.stride, rows: count, columns: columns, stride: rows.stride)
            let part = trace.map {
                CodingTrace(residuals: $0.residuals + first * columns, values: $0.values + first * columns)
            }
            try encodePiece(piece, appendingTo: &history, references: references, in: work, trace: part)
        }
    }

    private func encodePiece(
        _ rows: Matrix, appendingTo history: inout CompressedRows, references: ReferenceTable, in work: CodecWorkspace,
        trace: CodingTrace?
    ) throws(CompressionError) {
        let start = history.count
        transform(rows, in: work)
        // References first, by themselves: other rows of the piece are predicted from them.
        for isReferences in [true, false] {
            var count = 0
            for row in 0..<rows.rows where isReference(start + row) == isReferences {
                work.list[count] = UInt32(row)
                count += 1
            }
            var task = dkv_encode()
            task.layer = UnsafePointer(description)
            task.isa = work.instructions
            task.candidates = references.candidates
            task.coefficients = UnsafePointer(work.coefficients(rows.rows).base)
            task.ld = columns
            task.position = start
            task.list = UnsafePointer(work.list)
            task.count = count
            task.references = isReferences
            task.coded = work.coded
            task.lengths = work.lengths
            task.decoded = work.decoded
            task.residuals = trace?.residuals
            task.values = trace?.values
            task.scratch_size = dkv_encode_scratch(description, references.count)
            task.scratch = try work.scratch(perWorker: task.scratch_size)
            work.compute.pool.run(count: dkv_encode_count(&task), context: &task, task: dkv_encode_task)
            if isReferences { try references.append(work.decoded, count: count) }
        }
        for row in 0..<rows.rows {
            if start + row < settings.sinks { history.appendSink(rows[row: row]) }
            history.append(work.codedRow(row))
        }
    }

    /// The rows' coefficients in fine units, left in the workspace.
    private func transform(_ rows: Matrix, in work: CodecWorkspace) {
        let centred = work.centred(rows.rows)
        for row in 0..<rows.rows {
            dkv_centre(
                rows.base + row * rows.stride, parameters.mean, parameters.scale, centred.base + row * columns, columns)
        }
        work.quantized.quantize(centred, with: work.compute)
        forward.multiply(work.quantized, into: work.coefficients(rows.rows), with: work.compute)
    }
}
