// SPDX-License-Identifier: Apache-2.0
import CLZ4
import Crypto

/// Sections as they lie in files: packed by LZ4 (block format) where that makes them shorter, as they are where not.
enum SectionPacking {
    static func pack(_ bytes: [UInt8]) -> (encoding: ChunkHeader.Encoding, bytes: [UInt8]) {
        guard bytes.count > 1 else { return (.raw, bytes) }
        // One byte less than the input has: what does not fit is not worth it.
        let packed = [UInt8](unsafeUninitializedCapacity: bytes.count - 1) { target, count in
            count = bytes.withUnsafeBytes { source in
                Int(
                    LZ4_compress_default(
                        source.baseAddress?.assumingMemoryBound(to: CChar.self),
                        UnsafeMutableRawPointer(target.baseAddress)?.assumingMemoryBound(to: CChar.self),
                        Int32(bytes.count), Int32(bytes.count - 1)))
            }
        }
        return packed.isEmpty ? (.raw, bytes) : (.lz4, packed)
    }

    /// - Throws: ``CacheMiss/checksum`` where the bytes do not unpack to just so many.
    static func unpack(_ bytes: [UInt8], _ encoding: ChunkHeader.Encoding, count raw: Int) throws(CacheMiss) -> [UInt8]
    {
        guard encoding == .lz4 else { return bytes }
        let unpacked = [UInt8](unsafeUninitializedCapacity: raw) { target, count in
            count = bytes.withUnsafeBytes { source in
                max(
                    0,
                    Int(
                        LZ4_decompress_safe(
                            source.baseAddress?.assumingMemoryBound(to: CChar.self),
                            UnsafeMutableRawPointer(target.baseAddress)?.assumingMemoryBound(to: CChar.self),
                            Int32(bytes.count), Int32(raw))))
            }
        }
        guard unpacked.count == raw else { throw .checksum }
        return unpacked
    }

    /// The checksum of a section in a plain file: the first 16 bytes of a SHA-256 over what is stored.
    static func check(_ stored: [UInt8]) -> [UInt8] {
        Array(SHA256.hash(data: stored).prefix(ChunkHeader.checkBytes))
    }
}
