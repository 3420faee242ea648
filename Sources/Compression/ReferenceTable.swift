// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// The candidates of one layer of one sequence: the layer's prototypes, then the sequence's references as decoded.
///
/// Coding needs one; decoding whole ranges is faster with one. It can be dropped at any time and made again from the coded
/// rows, and counts as working memory (a byte an element, and as much again for the ones that are searched).
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
        withUnsafePointer(to: codec.prototypes) { from in
            withUnsafePointer(to: candidates) { dkv_candidates_copy(from, prototypes, $0) }
        }
    }

    /// Bytes in use.
    public var byteCount: Int { LayerCodec.candidateBytes(columns: codec.parameters.coefficients, capacity: count) }

    private var prototypes: Int { codec.settings.prototypes }

    var candidates: dkv_candidates {
        LayerCodec.candidates(columns: codec.parameters.coefficients, at: memory.base, capacity: capacity)
    }

    var count: Int { prototypes + references }

    /// Makes room for further references; ``candidates`` may lie elsewhere afterwards.
    func reserve(_ added: Int) throws(CompressionError) {
        if count + added > capacity { try grow(to: 2 * (count + added)) }
    }

    /// Counts references that were put in their places.
    func append(count added: Int) {
        precondition(count + added <= capacity, "no room was made")
        references += added
    }

    private func grow(to wanted: Int) throws(CompressionError) {
        let larger = try Self.reserve(codec, wanted)
        let moved = LayerCodec.candidates(
            columns: codec.parameters.coefficients, at: larger.base, capacity: wanted)
        withUnsafePointer(to: candidates) { from in
            withUnsafePointer(to: moved) { dkv_candidates_copy(from, count, $0) }
        }
        memory = larger
        capacity = wanted
    }

    private static func reserve(_ codec: LayerCodec, _ count: Int) throws(CompressionError) -> ReservedMemory {
        do throws(KernelError) {
            return try ReservedMemory(
                count: LayerCodec.candidateBytes(columns: codec.parameters.coefficients, capacity: count) + 64)
        } catch {
            throw .kernel(error)
        }
    }
}
