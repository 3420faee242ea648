// SPDX-License-Identifier: Apache-2.0
import Crypto
import Foundation

/// Encrypts the parts of one chunk file with AES-256-GCM, under a key that is derived for this file alone, so that counting
/// nonces never repeat. Part 0 is the token ids, part `i + 1` section `i`.
struct ChunkCipher {
    private let key: SymmetricKey

    /// - Parameters:
    ///   - secret: The store's key.
    ///   - nonce: The file's random bytes.
    init(secret: SymmetricKey, nonce: CacheDigest) {
        key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: secret, salt: nonce.bytes, info: Array("deltakv cache 1".utf8), outputByteCount: 32)
    }

    /// 32 random bytes.
    static func freshNonce() -> CacheDigest {
        SymmetricKey(size: .bits256).withUnsafeBytes { CacheDigest($0) }
    }

    /// The same number of bytes, encrypted, and the tag that vouches for them and for `context`.
    func seal(_ bytes: [UInt8], part: Int, context: [UInt8]) -> (bytes: [UInt8], tag: [UInt8]) {
        do {
            let box = try AES.GCM.seal(bytes, using: key, nonce: nonce(part), authenticating: context)
            return (Array(box.ciphertext), Array(box.tag))
        } catch {
            // Key and nonce have their lengths by construction, and parts are below AES-GCM's limit of 64 GiB.
            preconditionFailure("AES-GCM refuses sound arguments: \(error)")
        }
    }

    /// - Throws: ``CacheMiss/checksum`` where the bytes, the context or the key are not those of the tag.
    func open(_ bytes: [UInt8], tag: [UInt8], part: Int, context: [UInt8]) throws(CacheMiss) -> [UInt8] {
        guard let box = try? AES.GCM.SealedBox(nonce: nonce(part), ciphertext: bytes, tag: tag),
            let plain = try? AES.GCM.open(box, using: key, authenticating: context)
        else { throw .checksum }
        return Array(plain)
    }

    private func nonce(_ part: Int) throws -> AES.GCM.Nonce {
        var bytes: [UInt8] = [0, 0, 0, 0]
        bytes.append(little: UInt64(part))
        return try AES.GCM.Nonce(data: bytes)
    }
}

extension ChunkHeader {
    /// What the tags of all parts vouch for: the fixed part up to the tag of the tokens.
    var cipherContext: [UInt8] { Array(fixedPart[..<256]) }
}
