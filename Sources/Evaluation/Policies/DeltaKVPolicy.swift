// SPDX-License-Identifier: Apache-2.0
import Compression
import Kernels

/// A calibrated compressor's codec on all layers; the most recent tokens stay in f16.
public struct DeltaKVPolicy: CachePolicy {
    /// Such as `deltakv`.
    public let name: String
    private let compressor: Compressor
    private let threads: ThreadPool
    private let ends = ExactEnds()

    /// The policy of a compressor.
    public init(_ compressor: Compressor, name: String = "deltakv", threads: ThreadPool) {
        self.compressor = compressor
        self.name = name
        self.threads = threads
    }

    /// Codes all layers up to the recent tokens.
    ///
    /// - Throws: `CompressionError`, `KernelError`, ``EvaluationError/unfitCompressor(policy:layer:)``.
    public func compress(_ history: History) throws -> CompressedHistory {
        let shape = history.shape, coded = max(0, history.count - ends.recent), compressor = compressor
        guard compressor.layers.count == shape.layers, compressor.columns == shape.rowWidth else {
            throw EvaluationError.unfitCompressor(policy: name, layer: 0)
        }
        let layers = try LayerWork.map(layers: shape.layers, on: threads) { layer, compute in
            let codec = compressor.layers[layer]
            var rows = CompressedRows()
            try codec.encode(
                history.rows(layer: layer).first(coded), appendingTo: &rows, references: ReferenceTable(codec: codec),
                in: CodecWorkspace(columns: codec.columns, compute: compute))
            return rows
        }
        let recent = shape.exactBytes(tokens: history.count - coded)
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
