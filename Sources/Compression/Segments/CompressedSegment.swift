// SPDX-License-Identifier: Apache-2.0
import CCompression

/// Consecutive coded rows of all layers, cut out of a sequence: what is kept of a prefill segment, in memory and in files.
///
/// It decodes only after the segments before it, whose rows its own refer to.
public struct CompressedSegment: Sendable, Equatable {
    /// One a layer.
    let layers: [CompressedRows.Piece]

    /// Tokens.
    public var count: Int { layers.first?.lengths.count ?? 0 }

    /// Bytes, apart from a file's headers.
    public var byteCount: Int { layers.reduce(0) { $0 + $1.byteCount } }

    init(layers: [CompressedRows.Piece]) { self.layers = layers }

    /// A segment from a file: one section a layer, as ``sections`` writes them. Nil where a section is none or they hold
    /// different numbers of tokens. Whether each row decodes shows when it is decoded.
    public init?(sections: [[UInt8]]) {
        let layers = sections.compactMap(CompressedRows.Piece.init)
        guard layers.count == sections.count, let count = layers.first?.lengths.count, count > 0,
            layers.allSatisfy({ $0.lengths.count == count })
        else { return nil }
        self.layers = layers
    }

    /// A section for each layer, little-endian: tokens (4 bytes), values of sinks (4), the sinks in half precision, a byte of
    /// length for each row (see ``CompressedRows/lengths``), the rows.
    public var sections: [[UInt8]] { layers.map(\.section) }
}

extension CompressedRows {
    /// The rows of some positions, without what other rows need of them.
    struct Piece: Sendable, Equatable {
        var sinks: [UInt16]
        // Of a section that was read: segments that come from files are not copied for it.
        var lengths: ArraySlice<UInt8>
        var bytes: ArraySlice<UInt8>

        var byteCount: Int { 2 * sinks.count + lengths.count + bytes.count }

        init(sinks: [UInt16], lengths: ArraySlice<UInt8>, bytes: ArraySlice<UInt8>) {
            self.sinks = sinks
            self.lengths = lengths
            self.bytes = bytes
        }

        init?(section: [UInt8]) {
            var reader = ByteReader(section)
            guard let tokens = reader.take(UInt32.self), let values = reader.take(UInt32.self),
                let sinks = reader.take(Int(values), UInt16.self), let lengths = reader.slice(Int(tokens)),
                let bytes = reader.slice(reader.left)
            else { return nil }
            self.init(sinks: sinks, lengths: lengths, bytes: bytes)
        }

        var section: [UInt8] {
            var writer = ByteWriter()
            writer.put(UInt32(lengths.count))
            writer.put(UInt32(sinks.count))
            writer.put(sinks)
            writer.put(lengths)
            writer.put(bytes)
            return writer.bytes
        }
    }

    /// The rows of positions that start and end at groups, or at the end.
    func piece(_ positions: Range<Int>, columns: Int, sinks most: Int) -> Piece {
        precondition(positions.lowerBound % Int(DKV_GROUP) == 0 && positions.upperBound <= count, "no whole groups")
        func start(_ position: Int) -> Int {
            precondition(position == count || position % Int(DKV_GROUP) == 0, "no whole groups")
            return position == count ? bytes.count : Int(offsets[position / Int(DKV_GROUP)])
        }
        let first = min(positions.lowerBound, most) * columns, last = min(positions.upperBound, most) * columns
        return Piece(
            sinks: Array(sinks[first..<last]), lengths: Array(lengths[positions])[...],
            bytes: Array(bytes[start(positions.lowerBound)..<start(positions.upperBound)])[...])
    }
}
