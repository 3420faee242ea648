// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

extension LayerStack {
    /// Decodes rows.
    ///
    /// - Parameters:
    ///   - positions: The rows wanted, in any order.
    ///   - histories: A layer each.
    ///   - tables: Their references; without them each row's references are decoded along.
    ///   - decoded: Where rows go.
    func decode(
        _ positions: some Collection<Int>, of histories: [CompressedRows], from sources: [Matrix],
        tables: [ReferenceTable]?, into decoded: [Matrix]
    ) throws(CompressionError) {
        try work.reserve(listedRows: positions.count)
        for (row, position) in positions.enumerated() {
            work.list[row] = UInt32(row)
            work.positions[row] = UInt32(position)
        }
        let candidates = tables?.map(\.candidates) ?? codecs.map(\.prototypes)
        try run(
            positions.count, of: histories, candidates, isWhole: tables != nil,
            into: .planes(decoded, sources: sources))
    }

    /// Adds the references among rows that follow those whose references the tables hold to the tables, and decodes these
    /// rows, if wanted.
    ///
    /// - Parameters:
    ///   - positions: The more, the less threads wait for each other.
    ///   - sink: Takes the rows as they decode.
    func extend(
        _ tables: [ReferenceTable], by positions: Range<Int>, of histories: [CompressedRows], into sink: RowSink?
    ) throws(CompressionError) {
        try work.reserve(listedRows: positions.count)
        let references = list(positions) { codecs[0].isReference($0) }
        for table in tables { try table.reserve(references) }
        try run(references, of: histories, tables.map(\.candidates), isWhole: true, into: .candidates)
        for table in tables { table.append(count: references) }
        guard let sink else { return }
        // References once more, among their neighbours: reading a row costs little beside products for a few rows.
        try run(
            list(positions) { _ in true }, of: histories, tables.map(\.candidates), isWhole: true, into: .sink(sink))
    }

    /// Lists rows by their positions, to go to the first rows of what is decoded, and says how many.
    private func list(_ positions: Range<Int>, where isWanted: (_ position: Int) -> Bool) -> Int {
        let count = work.listRows(0..<positions.count) { isWanted(positions.lowerBound + $0) }
        for i in 0..<count { work.positions[i] = work.list[i] + UInt32(positions.lowerBound) }
        return count
    }

    /// Where decoded rows go.
    private enum Destination {
        /// They are references, which become candidates.
        case candidates
        /// A layer each, predicted from layers before, the nearest first.
        case planes([Matrix], sources: [Matrix])
        /// The layers are all there are.
        case sink(RowSink)
    }

    /// Decodes the rows that the workspace lists.
    private func run(
        _ count: Int, of histories: [CompressedRows], _ candidates: [dkv_candidates], isWhole: Bool,
        into destination: Destination
    ) throws(CompressionError) {
        let scratchSize = most(dkv_decode_scratch), scratch = try work.scratch(perWorker: scratchSize)
        var failed = UInt32.max
        withHistories(histories[...], []) { histories in
            let layers = codecs.indices.map {
                dkv_decode_layer(
                    layer: UnsafePointer(codecs[$0].description), candidates: candidates[$0], history: histories[$0])
            }
            layers.withUnsafeBufferPointer { layers in
                withUnsafeMutablePointer(to: &failed) { failed in
                    var task = dkv_decode(
                        isa: work.instructions, layers: layers.baseAddress, layer_count: layers.count, decoded: nil,
                        sink: nil, sink_context: nil, whole: isWhole, references: false, positions: work.positions,
                        list: work.list, count: count, block: work.block(count), scratch: scratch,
                        scratch_size: scratchSize, failed: failed)
                    func run() {
                        work.compute.pool.run(count: dkv_decode_count(&task), context: &task, task: dkv_decode_task)
                    }
                    switch destination {
                    case .candidates:
                        task.references = true
                        run()
                    case .planes(let decoded, let sources):
                        withPlanes(decoded, after: sources) { planes in
                            task.decoded = planes
                            run()
                        }
                    case .sink(let sink):
                        precondition(sink.layers == codecs.count && sink.rows == count, "another sink")
                        task.sink = sink.put
                        task.sink_context = sink.context
                        run()
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
