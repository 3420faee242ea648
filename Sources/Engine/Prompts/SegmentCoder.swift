// SPDX-License-Identifier: Apache-2.0

import Compression
import Inference
import Kernels

/// Codes segments and puts their decoded rows in the place of the exact ones.
final class SegmentCoder {
    private let compressor: Compressor
    private let work: CodecWorkspace
    private let forward: ForwardPass
    /// Buffers that no sequence uses.
    private var idle: [SegmentRows] = []

    init(compressor: Compressor, forward: ForwardPass) throws {
        let c = forward.model.configuration
        guard compressor.layers.count == c.layers, compressor.columns == 2 * c.kvHeads * c.headDimension else {
            throw GenerationError.invalidOption("the compressor was made for a model of another shape")
        }
        self.compressor = compressor
        self.forward = forward
        work = try CodecWorkspace(
            columns: compressor.columns, compute: forward.compute, maxRows: PromptCompression.segmentTokens)
    }

    /// An encoder that stands after some segments.
    func encoder(after segments: [CompressedSegment]) throws(CompressionError) -> SequenceEncoder {
        let encoder = try SequenceEncoder(compressor, in: work)
        for segment in segments { try encoder.append(segment, body: nil) }
        return encoder
    }

    /// Room for a segment's rows.
    func buffer() throws(CompressionError) -> SegmentRows {
        if let rows = idle.popLast() { return rows }
        do throws(KernelError) {
            return try SegmentRows(
                layers: compressor.layers.count, tokens: PromptCompression.segmentTokens, columns: compressor.columns)
        } catch {
            throw .kernel(error)
        }
    }

    /// Takes room back.
    func recycle(_ rows: SegmentRows?) {
        guard let rows, idle.count < 2 else { return }
        idle.append(rows)
    }

    /// Codes a segment.
    ///
    /// - Parameters:
    ///   - rows: The segment's rows.
    ///   - encoder: Stands before the segment, and then after it.
    ///   - pages: The sequence's.
    func code(
        _ rows: SegmentRows, with encoder: SequenceEncoder, pages: [PageID]
    ) throws(CompressionError) -> CompressedSegment {
        let first = encoder.sequence.count
        for layer in compressor.layers.indices {
            let decoded = try encoder.encode(layer: layer, rows.rows(layer: layer))
            store(decoded, layer: layer, position: first, pages: pages)
        }
        return encoder.segment(first..<first + PromptCompression.segmentTokens)
    }

    /// Decodes a segment into the pages.
    func restore(
        _ segment: CompressedSegment, with encoder: SequenceEncoder, pages: [PageID]
    ) throws(CompressionError) {
        let first = encoder.sequence.count
        try encoder.append(segment) { layer, decoded in
            self.store(decoded, layer: layer, position: first, pages: pages)
        }
    }

    /// Puts rows in the pages, as many at once as the forward pass has room for.
    private func store(_ rows: Matrix, layer: Int, position: Int, pages: [PageID]) {
        for first in stride(from: 0, to: rows.rows, by: forward.maxRows) {
            let piece = rows.rows(first, min(forward.maxRows, rows.rows - first))
            forward.store(piece, layer: layer, position: position + first, pages: pages)
        }
    }
}
