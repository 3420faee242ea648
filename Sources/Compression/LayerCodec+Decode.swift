// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

extension LayerCodec {
    /// Decodes rows of a history. A row comes out the same whatever is decoded with it.
    ///
    /// - Parameters:
    ///   - positions: The rows wanted, in any order.
    ///   - sources: The same rows as decoded in the ``sources`` layers before, the nearest first, [positions][columns].
    ///   - references: The history's table if there is one; without it each row's references are decoded along.
    ///   - rows: [positions][columns], `[keys before rotation | values]`.
    /// - Throws: ``CompressionError/damagedRows(layer:)``.
    public func decode(
        _ positions: some Collection<Int>, of history: CompressedRows, from sources: [Matrix] = [],
        references: ReferenceTable? = nil, into rows: Matrix, in work: CodecWorkspace
    ) throws(CompressionError) {
        precondition(rows.columns == columns && rows.rows == positions.count && work.columns == columns, "shapes")
        precondition(
            references.map { $0.references == self.references(before: history.count) } ?? true, "another table")
        precondition(sources.count == self.sources && sources.allSatisfy { $0.rows == rows.rows }, "other sources")
        var next = positions.startIndex
        for first in stride(from: 0, to: rows.rows, by: work.maxRows) {
            let count = min(work.maxRows, rows.rows - first)
            for i in 0..<count {
                precondition(positions[next] >= 0 && positions[next] < history.count, "there is no such row")
                work.list[i] = UInt32(positions[next])
                next = positions.index(after: next)
            }
            predict(sources, first..<first + count, in: work)
            let coefficients = work.coefficients(count, parameters.coefficients)
            try decodeListed(
                count, of: history, candidates: references?.candidates, to: coefficients.base, in: work)
            let piece = rows.rows(first, count)
            invert(piece, in: work)
            work.forEachRow(count) { finish(piece[row: $0], $0, position: Int(work.list[$0]), of: history, in: work) }
        }
    }

    /// Consecutive rows of which the workspace holds the decoded coefficients and the prediction from other layers.
    func restore(_ rows: Matrix, position: Int, of history: CompressedRows, in work: CodecWorkspace) {
        invert(rows, in: work)
        work.forEachRow(rows.rows) { finish(rows[row: $0], $0, position: position + $0, of: history, in: work) }
    }

    private func invert(_ rows: Matrix, in work: CodecWorkspace) {
        work.quantized.quantize(work.coefficients(rows.rows, parameters.coefficients), with: work.compute)
        inverse.multiply(work.quantized, into: rows, with: work.compute)
    }

    /// The table of a history's references, made from its coded rows.
    ///
    /// - Throws: ``CompressionError``.
    public func referenceTable(
        of history: CompressedRows, in work: CodecWorkspace
    ) throws(CompressionError) -> ReferenceTable {
        let table = try ReferenceTable(codec: self)
        try extend(table, from: 0, of: history, in: work)
        return table
    }

    /// Adds the references among a history's rows from a position on to the table of those before.
    func extend(
        _ table: ReferenceTable, from first: Int, of history: CompressedRows, in work: CodecWorkspace
    ) throws(CompressionError) {
        precondition(table.references == references(before: first), "another table")
        var position = first
        while position < history.count {
            var count = 0
            while position < history.count, count < work.maxRows {
                if isReference(position) {
                    work.list[count] = UInt32(position)
                    count += 1
                }
                position += 1
            }
            guard count > 0 else { continue }
            try decodeListed(count, of: history, candidates: nil, to: nil, in: work)
            try table.append(work.decoded, count: count)
        }
    }

    /// Adds the mean and the prediction from other layers, or puts a sink's exact values in place.
    private func finish(
        _ row: UnsafeMutableBufferPointer<Float>, _ index: Int, position: Int, of history: CompressedRows,
        in work: CodecWorkspace
    ) {
        guard position < settings.sinks else {
            dkv_add(row.baseAddress, parameters.mean, columns)
            if prediction != nil { dkv_add(row.baseAddress, work.predicted(index + 1).base + index * columns, columns) }
            return
        }
        for i in 0..<columns { row[i] = dkv_from_half(history.sinks[position * columns + i]) }
    }

    /// Decodes the rows in the workspace's list: to coefficients, or, where these are nil, references to candidates.
    private func decodeListed(
        _ count: Int, of history: CompressedRows, candidates: dkv_candidates?,
        to coefficients: UnsafeMutablePointer<Float>?,
        in work: CodecWorkspace
    ) throws(CompressionError) {
        let scratchSize = dkv_decode_scratch(description)
        let scratch = try work.scratch(perWorker: scratchSize)
        var failed: UInt8 = 0
        history.bytes.withUnsafeBufferPointer { bytes in
            history.offsets.withUnsafeBufferPointer { offsets in
                history.lengths.withUnsafeBufferPointer { lengths in
                    withUnsafeMutablePointer(to: &failed) { failed in
                        var task = dkv_decode()
                        task.layer = UnsafePointer(description)
                        task.candidates = candidates ?? prototypes
                        task.whole = candidates != nil
                        task.bytes = bytes.baseAddress
                        task.offsets = offsets.baseAddress
                        task.lengths = lengths.baseAddress
                        task.byte_count = bytes.count
                        task.list = UnsafePointer(work.list)
                        task.count = count
                        task.coefficients = coefficients
                        task.ld = parameters.coefficients
                        task.decoded = coefficients == nil ? work.decoded : nil
                        task.scratch = scratch
                        task.scratch_size = scratchSize
                        task.failed = failed
                        work.compute.pool.run(count: dkv_decode_count(&task), context: &task, task: dkv_decode_task)
                    }
                }
            }
        }
        if failed != 0 { throw .damagedRows(layer: layer) }
    }
}
