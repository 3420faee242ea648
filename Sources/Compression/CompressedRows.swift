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
        guard sinks.count == min(lengths.count, settings.sinks) * columns, bytes.count <= UInt32.max else { return nil }
        var at = 0
        for (index, length) in lengths.enumerated() {
            if index % Int(DKV_GROUP) == 0 { offsets.append(UInt32(at)) }
            guard length == 255 else {
                at += Int(length)
                continue
            }
            guard at + 2 <= bytes.count else { return nil }
            at += 2 + Int(bytes[at]) + Int(bytes[at + 1]) << 8
        }
        guard at == bytes.count else { return nil }
        count = lengths.count
        self.lengths = lengths
        self.bytes = bytes
        self.sinks = sinks
    }

    /// Bytes in memory: rows, lengths, offsets and sinks.
    public var ramBytes: Int { bytes.count + lengths.count + 4 * offsets.count + 2 * sinks.count }

    /// Bytes in a file, apart from its header: rows, lengths and sinks.
    public var fileBytes: Int { bytes.count + lengths.count + 2 * sinks.count }

    mutating func append(_ row: UnsafeBufferPointer<UInt8>) {
        if count % Int(DKV_GROUP) == 0 { offsets.append(UInt32(bytes.count)) }
        if row.count < 255 {
            lengths.append(UInt8(row.count))
        } else {
            lengths.append(255)
            bytes.append(UInt8(row.count & 0xff))
            bytes.append(UInt8(row.count >> 8))
        }
        bytes.append(contentsOf: row)
        count += 1
    }

    mutating func appendSink(_ row: UnsafeMutableBufferPointer<Float>) {
        for value in row { sinks.append(dkv_to_half(value)) }
    }
}
