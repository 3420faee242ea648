// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// What calibration wants to see of coded rows of one layer.
struct CodingTrace {
    /// [rows][coefficients]: what prediction left, in fine units.
    var residuals: UnsafeMutablePointer<Int16>
    /// [rows][coefficients]: the same quantised.
    var values: UnsafeMutablePointer<Int16>
}

extension LayerStack {
    /// Codes further rows.
    ///
    /// - Parameters:
    ///   - exact: A layer each.
    ///   - sources: The same tokens' rows as decoded in the layers before, the nearest first.
    ///   - histories: The sequence's rows so far; they grow.
    ///   - tables: Their references, which grow with them.
    ///   - decoded: Where rows go as they will decode: what `exact` is, if that is no longer wanted. Nil for one layer only.
    func encode(
        _ exact: [Matrix], from sources: [Matrix], appendingTo histories: inout [CompressedRows],
        tables: [ReferenceTable], decoded: [Matrix]?, trace: CodingTrace? = nil
    ) throws(CompressionError) {
        precondition(decoded != nil || codecs.count == 1, "layers are predicted from decoded rows")
        for (codec, table) in zip(codecs, tables) {
            precondition(
                table.references == codec.references(before: histories[0].count), "the table is of another history")
        }
        let rows = exact[0].rows
        for first in stride(from: 0, to: rows, by: work.maxRows) {
            let count = min(work.maxRows, rows - first)
            func part(_ matrices: [Matrix]) -> [Matrix] { matrices.map { $0.rows(first, count) } }
            let traced = first * codecs[0].parameters.coefficients
            let piece = Piece(
                exact: part(exact), sources: part(sources), decoded: decoded.map(part),
                trace: trace.map { CodingTrace(residuals: $0.residuals + traced, values: $0.values + traced) },
                start: histories[0].count)
            try encode(piece, tables)
            for (layer, table) in tables.enumerated() {
                append(piece, layer, to: &histories[layer])
                table.append(
                    count: codecs[layer].references(before: piece.start + count) - table.references)
            }
        }
    }

    /// As many rows as there is room for.
    private struct Piece {
        let exact, sources: [Matrix]
        let decoded: [Matrix]?
        let trace: CodingTrace?
        /// Position of the first row.
        let start: Int

        var count: Int { exact[0].rows }
    }

    private func encode(_ piece: Piece, _ tables: [ReferenceTable]) throws(CompressionError) {
        try work.reserve(layers: codecs.count)
        // References first, by themselves: other rows are predicted from them.
        for isReferences in [true, false] {
            let count = work.listRows(0..<piece.count) { codecs[0].isReference(piece.start + $0) == isReferences }
            if isReferences { for table in tables { try table.reserve(count) } }
            let layers = codecs.indices.map { layer in
                dkv_encode_layer(
                    layer: UnsafePointer(codecs[layer].description), candidates: tables[layer].candidates,
                    exact: dkv_plane(base: piece.exact[layer].base, ld: piece.exact[layer].stride),
                    coded: work.coded(layer), lengths: work.lengths(layer), sinks: work.sinks(layer))
            }
            let candidates = tables.reduce(0) { max($0, $1.count) } + piece.count
            let scratchSize = most { dkv_encode_scratch($0, candidates) }
            let scratch = try work.scratch(perWorker: scratchSize)
            var failed = UInt32.max
            layers.withUnsafeBufferPointer { layers in
                withPlanes(piece.decoded, after: piece.sources) { planes in
                    withUnsafeMutablePointer(to: &failed) { failed in
                        var task = dkv_encode(
                            isa: work.instructions, layers: layers.baseAddress, layer_count: layers.count,
                            decoded: planes, position: piece.start, list: work.list, count: count,
                            block: work.block(count), references: isReferences, residuals: piece.trace?.residuals,
                            values: piece.trace?.values, scratch: scratch, scratch_size: scratchSize, failed: failed)
                        work.compute.pool.run(count: dkv_encode_count(&task), context: &task, task: dkv_encode_task)
                    }
                }
            }
            guard failed == .max else { throw .nonFiniteRow(layer: codecs[Int(failed)].layer) }
        }
    }

    private func append(_ piece: Piece, _ layer: Int, to history: inout CompressedRows) {
        let codec = codecs[layer], limit = dkv_row_limit(codec.parameters.coefficients)
        let sinks = max(0, min(piece.count, codec.settings.sinks - piece.start))
        history.append(sinks: UnsafeBufferPointer(start: work.sinks(layer), count: sinks * codec.columns))
        let gathered = work.gathered
        let bytes = dkv_rows_gather(
            work.coded(layer), limit, work.lengths(layer), piece.count, gathered.rows, gathered.lengths)
        let isSound = history.append(
            UnsafeBufferPointer(start: gathered.rows, count: bytes),
            lengths: UnsafeBufferPointer(start: gathered.lengths, count: piece.count))
        precondition(isSound, "a sequence's coded rows would fill 4 GiB")
    }
}
