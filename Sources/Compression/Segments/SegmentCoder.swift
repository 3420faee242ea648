// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// Codes prompts in segments and puts their decoded rows in the place of the exact ones.
///
/// A segment is computed over the decoded rows of those before it, exactly within itself, and then coded: so a prompt's exact
/// keys and values are never there as a whole, and a segment that was coded before may take the place of one computed now.
/// One caller at a time.
public final class SegmentCoder {
    /// Tokens of a segment; segments begin at multiples of it. Shorter ones may follow the last.
    public static let tokens = 256

    private let compressor: Compressor
    private let work: CodecWorkspace
    private let forward: ForwardPass
    /// Buffers that no sequence uses.
    private var idle: [SegmentRows] = []

    /// A coder for what a forward pass computes.
    ///
    /// - Throws: ``CompressionError``, ``CompressionError/degenerate(layer:reason:)`` if the model has another shape.
    public init(compressor: Compressor, forward: ForwardPass) throws(CompressionError) {
        let c = forward.model.configuration
        guard compressor.layers.count == c.layers, compressor.columns == 2 * c.kvHeads * c.headDimension else {
            throw .degenerate(layer: 0, reason: "the model has another shape")
        }
        self.compressor = compressor
        self.forward = forward
        work = try CodecWorkspace(columns: compressor.columns, compute: forward.compute, maxRows: Self.tokens)
    }

    /// An encoder that stands after some segments.
    ///
    /// - Throws: ``CompressionError``.
    public func encoder(after segments: [CompressedSegment]) throws(CompressionError) -> SequenceEncoder {
        let encoder = try SequenceEncoder(compressor, in: work)
        try encoder.append(segments)
        return encoder
    }

    /// Room for a segment's rows.
    ///
    /// - Throws: ``CompressionError/kernel(_:)``.
    public func buffer() throws(CompressionError) -> SegmentRows {
        if let rows = idle.popLast() { return rows }
        return try SegmentRows(layers: compressor.layers.count, tokens: Self.tokens, columns: compressor.columns)
    }

    /// Bytes of so many buffers and of those that no sequence uses.
    public func bufferBytes(inUse: Int) -> Int {
        (inUse + idle.count) * 4 * compressor.layers.count * Self.tokens * compressor.columns
    }

    /// Takes room back.
    public func recycle(_ rows: SegmentRows?) {
        guard let rows, idle.count < 2 else { return }
        idle.append(rows)
    }

    /// Codes a segment.
    ///
    /// - Parameters:
    ///   - rows: The segment's rows, of no use afterwards.
    ///   - count: How many there are.
    ///   - encoder: Stands before the segment, and then after it.
    ///   - pages: The sequence's.
    /// - Throws: ``CompressionError``; the encoder is of no use then.
    public func code(
        _ rows: SegmentRows, count: Int, with encoder: SequenceEncoder, pages: [PageID]
    ) throws(CompressionError) -> CompressedSegment {
        let first = encoder.sequence.count, layers = rows.layers.map { $0.first(count) }
        try encoder.encode(layers)
        store(layers, position: first, pages: pages)
        return encoder.segment(first..<first + count)
    }

    /// Decodes consecutive segments into the pages: the more at once, the less threads wait for each other.
    ///
    /// - Throws: ``CompressionError``; the encoder is of no use then, and the segments' pages hold anything.
    public func restore(
        _ segments: [CompressedSegment], with encoder: SequenceEncoder, pages: [PageID]
    ) throws(CompressionError) {
        try encoder.append(segments) { positions, body throws(CompressionError) in
            try forward.store(rows: positions.count, position: positions.lowerBound, pages: pages, from: body)
        }
    }

    /// Puts rows in the pages, as many at once as the forward pass has room for.
    private func store(_ layers: [Matrix], position: Int, pages: [PageID]) {
        let rows = layers[0].rows
        for first in stride(from: 0, to: rows, by: forward.maxRows) {
            let count = min(forward.maxRows, rows - first)
            forward.store(
                layers: layers.map { $0.rows(first, count) }, position: position + first, pages: pages)
        }
    }
}
