// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// The candidates of one layer of one sequence: the layer's prototypes, then the sequence's references as decoded.
///
/// Coding needs one; decoding whole ranges is faster with one. It can be dropped at any time and made again from the coded
/// rows, and counts as working memory (a byte an element).
public final class ReferenceTable {
    /// References in the table.
    public private(set) var references = 0
    private let codec: LayerCodec
    private var capacity: Int
    private var memory: ReservedMemory

    /// An empty table.
    ///
    /// - Throws: ``CompressionError/kernel(_:)``.
    public init(codec: LayerCodec) throws(CompressionError) {
        self.codec = codec
        capacity = codec.settings.prototypes + 1024
        memory = try Self.reserve(codec, capacity)
        memory.base.copyMemory(
            from: codec.prototypes.panels, byteCount: dkv_candidate_bytes(codec.parameters.coefficients, prototypes))
        (memory.base + dkv_candidate_bytes(codec.parameters.coefficients, capacity)).copyMemory(
            from: codec.prototypes.norms, byteCount: 4 * prototypes)
    }

    /// Bytes in use.
    public var byteCount: Int { (prototypes + references) * (codec.parameters.coefficients + 4) }

    private var prototypes: Int { codec.settings.prototypes }

    var candidates: dkv_candidates {
        dkv_candidates(
            columns: codec.parameters.coefficients, panels: memory.base.assumingMemoryBound(to: UInt8.self),
            norms: (memory.base + dkv_candidate_bytes(codec.parameters.coefficients, capacity)).assumingMemoryBound(
                to: Int32.self))
    }

    var count: Int { prototypes + references }

    /// Adds decoded references, [count][columns].
    func append(_ rows: UnsafePointer<Int8>, count added: Int) throws(CompressionError) {
        if count + added > capacity { try grow(to: 2 * (count + added)) }
        var table = candidates
        for i in 0..<added { dkv_candidate_set(&table, count + i, rows + i * codec.parameters.coefficients) }
        references += added
    }

    private func grow(to wanted: Int) throws(CompressionError) {
        let larger = try Self.reserve(codec, wanted), used = dkv_candidate_bytes(codec.parameters.coefficients, count)
        larger.base.copyMemory(from: memory.base, byteCount: used)
        (larger.base + dkv_candidate_bytes(codec.parameters.coefficients, wanted)).copyMemory(
            from: candidates.norms, byteCount: 4 * count)
        memory = larger
        capacity = wanted
    }

    private static func reserve(_ codec: LayerCodec, _ count: Int) throws(CompressionError) -> ReservedMemory {
        do throws(KernelError) {
            return try ReservedMemory(
                count: dkv_candidate_bytes(codec.parameters.coefficients, count) + 4 * (count + 16))
        } catch {
            throw .kernel(error)
        }
    }
}
