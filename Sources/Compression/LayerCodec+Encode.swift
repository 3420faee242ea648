// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// What calibration wants to see of coded rows.
struct CodingTrace {
    /// [rows][coefficients]: what prediction left, in fine units.
    var residuals: UnsafeMutablePointer<Int16>
    /// [rows][coefficients]: the same quantised.
    var values: UnsafeMutablePointer<Int16>
}

extension LayerCodec {
    /// Codes further rows of a sequence. Coding a sequence in any pieces gives the same bytes, on any machine and for any
    /// number of threads.
    ///
    /// - Parameters:
    ///   - rows: [rows][columns], `[keys before rotation | values]`.
    ///   - sources: The same tokens' rows as decoded in the ``sources`` layers before, the nearest first, [rows][columns].
    ///   - history: The sequence's rows of this layer so far; grows.
    ///   - references: The history's table; grows with it.
    ///   - decoded: Where the rows go as they will decode, [rows][columns], if anywhere.
    /// - Throws: ``CompressionError``; the history is unchanged then.
    public func encode(
        _ rows: Matrix, from sources: [Matrix] = [], appendingTo history: inout CompressedRows,
        references: ReferenceTable, decoded: Matrix? = nil, in work: CodecWorkspace
    ) throws(CompressionError) {
        try encode(
            rows, from: sources, appendingTo: &history, references: references, decoded: decoded, in: work, trace: nil)
    }

    func encode(
        _ rows: Matrix, from sources: [Matrix], appendingTo history: inout CompressedRows, references: ReferenceTable,
        decoded: Matrix? = nil, in work: CodecWorkspace, trace: CodingTrace?
    ) throws(CompressionError) {
        precondition(sources.count == self.sources && sources.allSatisfy { $0.rows == rows.rows }, "other sources")
        precondition(rows.columns == columns && work.columns == columns, "shapes do not fit")
        precondition(references.references == self.references(before: history.count), "the table is of another history")
        for row in 0..<rows.rows where !dkv_finite(rows.base + row * rows.stride, columns) {
            throw .nonFiniteRow(layer: layer)
        }
        for first in stride(from: 0, to: rows.rows, by: work.maxRows) {
            let count = min(work.maxRows, rows.rows - first)
            let traced = first * parameters.coefficients
            let part = trace.map { CodingTrace(residuals: $0.residuals + traced, values: $0.values + traced) }
            predict(sources, first..<first + count, in: work)
            try encodePiece(
                rows.rows(first, count), appendingTo: &history, references: references, in: work, trace: part)
            if let decoded {
                restore(decoded.rows(first, count), position: history.count - count, of: history, in: work)
            }
        }
    }

    /// Codes rows whose prediction from other layers lies in the workspace.
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
            task.coefficients = work.coefficients(rows.rows, parameters.coefficients).base
            task.ld = parameters.coefficients
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
            history.append(work.codedRow(row, coefficients: parameters.coefficients))
        }
    }

    /// The rows' coefficients in fine units, left in the workspace.
    private func transform(_ rows: Matrix, in work: CodecWorkspace) {
        let centred = work.centred(rows.rows)
        work.forEachRow(rows.rows) { row in
            let to = centred.base + row * columns
            if prediction == nil {
                to.update(from: rows.base + row * rows.stride, count: columns)
            } else {
                dkv_subtract(
                    rows.base + row * rows.stride, work.predicted(rows.rows).base + row * columns, to, columns)
            }
            dkv_centre(to, parameters.mean, parameters.scale, to, columns)
        }
        work.quantized.quantize(centred, with: work.compute)
        forward.multiply(
            work.quantized, into: work.coefficients(rows.rows, parameters.coefficients), with: work.compute)
    }

    /// Rows as the layers before tell them, apart from the mean, left in the workspace.
    func predict(_ sources: [Matrix], _ rows: Range<Int>, in work: CodecWorkspace) {
        guard let prediction else { return }
        let centred = work.sources(rows.count, self.sources)
        parameters.sourceMean.withUnsafeBufferPointer { means in
            parameters.sourceScale.withUnsafeBufferPointer { scales in
                guard let mean = means.baseAddress, let scale = scales.baseAddress else { return }
                work.forEachRow(rows.count) { to in
                    for (index, source) in sources.enumerated() {
                        let at = index * columns
                        dkv_centre(
                            source.base + (rows.lowerBound + to) * source.stride, mean + at, scale + at,
                            centred.base + to * centred.stride + at, columns)
                    }
                }
            }
        }
        work.quantized.quantize(centred, with: work.compute)
        prediction.multiply(work.quantized, into: work.predicted(rows.count), with: work.compute)
    }
}
