// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

extension LayerStack {
    /// Decodes rows.
    ///
    /// - Parameters:
    ///   - positions: The rows wanted, in any order; all of them fit ``CodecWorkspace/maxRows``.
    ///   - histories: A layer each.
    ///   - tables: Their references; without them each row's references are decoded along.
    ///   - decoded: Where rows go.
    func decode(
        _ positions: some Collection<Int>, of histories: [CompressedRows], from sources: [Matrix],
        tables: [ReferenceTable]?, into decoded: [Matrix]
    ) throws(CompressionError) {
        for (row, position) in positions.enumerated() {
            work.list[row] = UInt32(row)
            work.positions[row] = UInt32(position)
        }
        let candidates = tables?.map(\.candidates) ?? codecs.map(\.prototypes)
        try run(
            positions.count, of: histories, from: sources, candidates, isWhole: tables != nil, isReferences: false,
            into: decoded)
    }

    /// Adds the references among rows that follow those whose references the tables hold to the tables, and decodes these
    /// rows, if wanted.
    func extend(
        _ tables: [ReferenceTable], by positions: Range<Int>, of histories: [CompressedRows], into decoded: [Matrix]?
    ) throws(CompressionError) {
        for first in stride(from: positions.lowerBound, to: positions.upperBound, by: work.maxRows) {
            let rows = first..<min(positions.upperBound, first + work.maxRows)
            let references = list(rows) { codecs[0].isReference($0) }
            for table in tables { try table.reserve(references) }
            try run(
                references, of: histories, from: [], tables.map(\.candidates), isWhole: true, isReferences: true,
                into: nil)
            for table in tables { table.append(count: references) }
            guard let decoded else { continue }
            // References once more, among their neighbours: reading a row costs little beside products for a few rows.
            try run(
                list(rows) { _ in true }, of: histories, from: [], tables.map(\.candidates), isWhole: true,
                isReferences: false, into: decoded.map { $0.rows(first - positions.lowerBound, rows.count) })
        }
    }

    /// Lists rows by their positions, to go to the first rows of what is decoded, and says how many.
    private func list(_ positions: Range<Int>, where isWanted: (_ position: Int) -> Bool) -> Int {
        let count = work.listRows(0..<positions.count) { isWanted(positions.lowerBound + $0) }
        for i in 0..<count { work.positions[i] = work.list[i] + UInt32(positions.lowerBound) }
        return count
    }

    /// Decodes the rows that the workspace lists.
    private func run(
        _ count: Int, of histories: [CompressedRows], from sources: [Matrix], _ candidates: [dkv_candidates],
        isWhole: Bool, isReferences: Bool, into decoded: [Matrix]?
    ) throws(CompressionError) {
        let scratchSize = most(dkv_decode_scratch), scratch = try work.scratch(perWorker: scratchSize)
        var failed = UInt32.max
        withHistories(histories[...], []) { histories in
            let layers = codecs.indices.map {
                dkv_decode_layer(
                    layer: UnsafePointer(codecs[$0].description), candidates: candidates[$0], history: histories[$0])
            }
            layers.withUnsafeBufferPointer { layers in
                withPlanes(decoded, after: sources) { planes in
                    withUnsafeMutablePointer(to: &failed) { failed in
                        var task = dkv_decode(
                            isa: work.instructions, layers: layers.baseAddress, layer_count: layers.count,
                            decoded: decoded == nil ? nil : planes, whole: isWhole, references: isReferences,
                            positions: work.positions, list: work.list, count: count, block: work.block(count),
                            scratch: scratch, scratch_size: scratchSize, failed: failed)
                        work.compute.pool.run(count: dkv_decode_count(&task), context: &task, task: dkv_decode_task)
                    }
                }
            }
        }
        guard failed == .max else { throw .damagedRows(layer: codecs[Int(failed)].layer) }
    }

    /// Calls `body` while the memory of all histories stays where it is.
    private func withHistories(
        _ histories: ArraySlice<CompressedRows>, _ found: [dkv_history], _ body: ([dkv_history]) -> Void
    ) {
        guard let next = histories.first else { return body(found) }
        next.withHistory { withHistories(histories.dropFirst(), found + [$0], body) }
    }
}

extension CompressedRows {
    fileprivate func withHistory(_ body: (dkv_history) -> Void) {
        bytes.withUnsafeBufferPointer { bytes in
            offsets.withUnsafeBufferPointer { offsets in
                lengths.withUnsafeBufferPointer { lengths in
                    sinks.withUnsafeBufferPointer { sinks in
                        body(
                            dkv_history(
                                bytes: bytes.baseAddress, offsets: offsets.baseAddress, lengths: lengths.baseAddress,
                                byte_count: bytes.count, sinks: sinks.baseAddress))
                    }
                }
            }
        }
    }
}
