// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What a chunk file says before its sections. `ops/cache-format.md` has the layout byte by byte.
struct ChunkHeader: Equatable {
    static let magic = Array("DKVCACHE".utf8)
    static let version: UInt32 = 1
    static let mostTokens = 1 << 20, mostSections = 4096, mostSectionBytes = 1 << 30

    /// Bytes before the token ids, of an entry of the section table, and of the checksum that ends the header.
    static let fixedBytes = 272, entryBytes = 40, checksumBytes = 32
    /// Bytes of a section's checksum: a truncated SHA-256, or the tag of AES-GCM.
    static let checkBytes = 16

    enum Encoding: UInt32 {
        case raw = 0
        case lz4 = 1
    }

    struct Section: Equatable {
        let id: UInt32
        let encoding: Encoding
        /// Bytes in the file.
        let stored: Int
        /// Bytes of the section itself.
        let raw: Int
        /// 16 bytes.
        var check: [UInt8]
    }

    var isEncrypted: Bool
    var fileBytes: Int
    var index: Int
    /// Microseconds since 1970.
    var created: Int64
    /// What the chunk cost to compute.
    var prefillSeconds: Double
    var key: ChunkKey
    var parent: ChunkKey
    var lineage: Lineage
    var fingerprint: CacheFingerprint
    var salt: SaltTag
    /// 32 random bytes that the file's own key is derived with; zero in a plain file.
    var nonce: CacheDigest
    /// The tag of the encrypted token ids; zero in a plain file.
    var tokenCheck: [UInt8]
    /// Token ids, little-endian, encrypted or not.
    var tokens: [UInt8]
    var sections: [Section]

    var tokenCount: Int { tokens.count / 4 }
    var bytes: Int { Self.bytes(tokens: tokenCount, sections: sections.count) }

    var createdDate: Date { Date(timeIntervalSince1970: Double(created) / 1e6) }

    /// When it is too old.
    func isExpired(after life: Duration?, now: Date) -> Bool {
        guard let life else { return false }
        return now.timeIntervalSince(createdDate) > life.seconds
    }

    static func bytes(tokens: Int, sections: Int) -> Int {
        fixedBytes + 4 * tokens + entryBytes * sections + checksumBytes
    }

    /// The link that the chunk says it is.
    func link(tokens: [Int32]) -> ChunkLink {
        ChunkLink(
            key: key, parent: parent, lineage: lineage, fingerprint: fingerprint, salt: salt, index: index,
            tokens: tokens)
    }
}
