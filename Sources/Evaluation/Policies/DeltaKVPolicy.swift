// SPDX-License-Identifier: Apache-2.0
import Compression
import Kernels

/// A calibrated compressor's codec on all layers.
public struct DeltaKVPolicy: CachePolicy {
    /// What is compared.
    public enum Form: Sendable {
        /// As in memory: the most recent tokens are exact, in f16.
        case memory
        /// As in a file: every token is coded.
        case file
    }

    /// Such as `deltakv`.
    public let name: String
    private let compressor: Compressor
    private let threads: ThreadPool
    private let recent: Int

    /// The policy of a compressor.
    public init(_ compressor: Compressor, name: String = "deltakv", form: Form = .memory, threads: ThreadPool) {
        self.compressor = compressor
        self.name = name
        self.threads = threads
        recent = form == .memory ? ExactEnds().recent : 0
    }

    /// Codes all layers up to the recent tokens, and decodes them.
    ///
    /// - Throws: `CompressionError`, `KernelError`, ``EvaluationError/unfitCompressor(policy:layer:)``.
    public func compress(_ history: History) throws -> CompressedHistory {
        let shape = history.shape, coded = max(0, history.count - recent)
        guard compressor.layers.count == shape.layers, compressor.columns == shape.rowWidth else {
            throw EvaluationError.unfitCompressor(policy: name, layer: 0)
        }
        let compute = Compute(pool: threads, instructionSet: try InstructionSet.fromEnvironment())
        let work = try CodecWorkspace(columns: compressor.columns, compute: compute)
        let encoder = try SequenceEncoder(compressor, in: work)
        for layer in 0..<shape.layers { try encoder.encode(layer: layer, history.rows(layer: layer).first(coded)) }
        let sequence = encoder.sequence, size = coded * shape.rowWidth
        let decoded = try ReservedMemory(count: 4 * max(1, shape.layers * size))
        try compressor.decode(0..<coded, of: sequence, in: work) { layer, rows in
            (decoded.floats() + layer * size).update(from: rows.base, count: size)
        }
        let exact = shape.exactBytes(tokens: history.count - coded)
        let bytes = CacheBytes(memory: sequence.ramBytes + exact, disk: sequence.fileBytes + exact)
        let restored = decoded
        return CompressedHistory(bytes: bytes) { layer, rows in
            rows.base.update(from: restored.floats() + layer * size, count: size)
            for row in coded..<rows.rows { Rounding.toHalf(rows[row: row]) }
        }
    }
}
