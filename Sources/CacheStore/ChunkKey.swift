// SPDX-License-Identifier: Apache-2.0
import Crypto

/// Names a chunk by what it holds: a SHA-256 over everything before it and its own tokens.
public struct ChunkKey: Hashable, Sendable, CustomStringConvertible {
    let digest: CacheDigest

    init(digest: CacheDigest) { self.digest = digest }

    /// A key in 64 hexadecimal digits, lower case; nil for other text.
    public init?(_ hexadecimal: some StringProtocol) {
        guard let digest = CacheDigest(hexadecimal: hexadecimal) else { return nil }
        self.digest = digest
    }

    /// 64 hexadecimal digits; files are named by them.
    public var description: String { digest.description }

    /// The key that a chain starts from. No chunk has it.
    static func root(_ fingerprint: CacheFingerprint, salt: SaltTag) -> ChunkKey {
        ChunkKey(
            digest: SHA256.labelled("root") { hash in
                hash.update(data: fingerprint.digest.bytes)
                hash.update(data: salt.digest.bytes)
            })
    }

    /// The key of the chunk with these tokens after this one.
    func child(_ tokens: ArraySlice<Int32>) -> ChunkKey {
        ChunkKey(digest: SHA256.labelled("chunk") { $0.update(chunk: tokens, after: digest) })
    }
}

/// Which tokens a chunk and those before it hold, for one tenant and under whatever fingerprint: tells that a prompt is stored,
/// only for another model or setting.
struct Lineage: Hashable, Sendable {
    let digest: CacheDigest

    static func root(salt: SaltTag) -> Lineage {
        Lineage(digest: SHA256.labelled("lineage") { $0.update(data: salt.digest.bytes) })
    }

    func child(_ tokens: ArraySlice<Int32>) -> Lineage {
        Lineage(digest: SHA256.labelled("lineage chunk") { $0.update(chunk: tokens, after: digest) })
    }
}

/// Stands for a tenant's salt, which is written nowhere.
struct SaltTag: Hashable, Sendable {
    let digest: CacheDigest

    init(digest: CacheDigest) { self.digest = digest }

    /// - Parameter secret: The key of an encrypted store. With it, names in the directory tell nothing to those who guess texts.
    init(salt: [UInt8], secret: SymmetricKey?) {
        digest = SHA256.labelled("salt") { hash in
            guard let secret else { return hash.update(counted: salt) }
            var code = HMAC<SHA256>(key: secret)
            code.update(data: Array("deltakv salt 1\0".utf8) + salt)
            hash.update(counted: Array(code.finalize()))
        }
    }
}

extension SHA256 {
    fileprivate mutating func update(chunk tokens: ArraySlice<Int32>, after parent: CacheDigest) {
        update(data: parent.bytes)
        withUnsafeBytes(of: UInt32(tokens.count).littleEndian) { update(bufferPointer: $0) }
        // Little-endian, as all machines are that this runs on.
        tokens.withUnsafeBytes { update(bufferPointer: $0) }
    }
}
