// SPDX-License-Identifier: Apache-2.0
import CCompression

/// The coded rows of one layer of one sequence. The same bytes serve in memory, where any row decodes alone, and in files.
public struct CompressedRows: Sendable, Equatable {
    /// Rows so far.
    public private(set) var count = 0
    /// The first rows in half precision, [min(count, sinks)][columns].
    public private(set) var sinks: [UInt16] = []
    /// Bytes of each row; 255 where the row starts with its length in two bytes.
    public private(set) var lengths: [UInt8] = []
    /// Coded rows, one after another.
    public private(set) var bytes: [UInt8] = []
    /// Where each group of 16 rows starts in ``bytes``.
    private(set) var offsets: [UInt32] = []

    /// No rows.
    public init() {}

    /// Rows that were stored: the same values that ``lengths``, ``bytes`` and ``sinks`` had. Nil where they contradict each
    /// other. Whether each row decodes shows when it is decoded.
    public init?(lengths: [UInt8], bytes: [UInt8], sinks: [UInt16], columns: Int, settings: CodecSettings) {
        let piece = Piece(sinks: sinks, lengths: lengths[...], bytes: bytes[...])
        guard append([piece], columns: columns, settings: settings) else { return nil }
    }

    /// Adds pieces, for which room is made at once: exactly as much the first time, since few sequences grow far beyond it.
    ///
    /// - Returns: Whether they agree with themselves and belong here; if not, these rows are of no use any more.
    mutating func append(_ pieces: [Piece], columns: Int, settings: CodecSettings) -> Bool {
        lengths.makeRoom(for: pieces.reduce(0) { $0 + $1.lengths.count })
        bytes.makeRoom(for: pieces.reduce(0) { $0 + $1.bytes.count })
        return pieces.allSatisfy { append($0, columns: columns, settings: settings) }
    }

    private mutating func append(_ piece: Piece, columns: Int, settings: CodecSettings) -> Bool {
        let end = count + piece.lengths.count
        guard piece.sinks.count == (min(end, settings.sinks) - min(count, settings.sinks)) * columns else {
            return false
        }
        sinks += piece.sinks
        return piece.bytes.withUnsafeBufferPointer { rows in
            piece.lengths.withUnsafeBufferPointer { append(rows, lengths: $0) }
        }
    }

    /// Adds further rows that lie one after another, without what is kept of sinks.
    ///
    /// - Returns: Whether the lengths are those of the bytes; if not, these rows are of no use any more.
    mutating func append(_ rows: UnsafeBufferPointer<UInt8>, lengths added: UnsafeBufferPointer<UInt8>) -> Bool {
        guard bytes.count + rows.count <= UInt32.max else { return false }
        var at = 0
        for (index, length) in added.enumerated() {
            if (count + index) % Int(DKV_GROUP) == 0 { offsets.append(UInt32(bytes.count + at)) }
            if length == 255 {
                guard at + 2 <= rows.count else { return false }
                at += 2 + Int(rows[at]) + Int(rows[at + 1]) << 8
            } else {
                at += Int(length)
            }
            guard at <= rows.count else { return false }
        }
        guard at == rows.count else { return false }
        lengths += added
        bytes += rows
        count += added.count
        return true
    }

    /// Bytes in memory: rows, lengths, offsets and sinks.
    public var ramBytes: Int { bytes.count + lengths.count + 4 * offsets.count + 2 * sinks.count }

    /// Bytes in a file, apart from its header: rows, lengths and sinks.
    public var fileBytes: Int { bytes.count + lengths.count + 2 * sinks.count }

    /// Adds rows in half precision.
    mutating func append(sinks rows: UnsafeBufferPointer<UInt16>) { sinks.append(contentsOf: rows) }
}

extension [UInt8] {
    /// Makes room for further bytes, and for as many as there are again where that is not the first time.
    fileprivate mutating func makeRoom(for added: Int) {
        guard count + added > capacity else { return }
        reserveCapacity(Swift.max(count + added, 2 * capacity))
    }
}
