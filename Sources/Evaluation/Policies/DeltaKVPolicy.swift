// SPDX-License-Identifier: Apache-2.0
import Compression
import Kernels

/// A calibrated compressor's codec on all layers; the most recent tokens stay in f16.
public struct DeltaKVPolicy: CachePolicy {
    /// Such as `deltakv`.
    public let name = "deltakv"
    private let compressor: Compressor
    private let ends = ExactEnds()

    /// The policy of a compressor.
    public init(_ compressor: Compressor) { self.compressor = compressor }

    /// Codes all layers up to the recent tokens.
    ///
    /// - Throws: `CompressionError`, `KernelError`.
    public func compress(_ history: History) throws -> CompressedHistory {
        let coded = max(0, history.count - ends.recent), compressor = compressor
        let work = try CodecWorkspace(columns: compressor.columns, compute: Compute(pool: ThreadPool(threads: 1)))
        let layers = try compressor.layers.map { codec in
            var rows = CompressedRows()
            try codec.encode(
                history.rows(layer: codec.layer).first(coded), appendingTo: &rows,
                references: ReferenceTable(codec: codec), in: work)
            return rows
        }
        let recent = history.shape.exactBytes(tokens: history.count - coded)
        let bytes = CacheBytes(
            memory: layers.reduce(recent) { $0 + $1.ramBytes }, disk: layers.reduce(recent) { $0 + $1.fileBytes })
        return CompressedHistory(bytes: bytes) { layer, rows in
            do {
                let work = try CodecWorkspace(columns: rows.columns, compute: Compute(pool: ThreadPool(threads: 1)))
                let codec = compressor.layers[layer]
                let table = try codec.referenceTable(of: layers[layer], in: work)
                try codec.decode(0..<coded, of: layers[layer], references: table, into: rows.first(coded), in: work)
            } catch {
                preconditionFailure("rows that were just coded do not decode: \(error)")
            }
            for row in coded..<rows.rows { Rounding.toHalf(rows[row: row]) }
        }
    }
}
