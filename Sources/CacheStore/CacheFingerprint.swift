// SPDX-License-Identifier: Apache-2.0
import Crypto

/// Stands for everything, apart from the tokens, that decides what a chunk holds. Chunks with another fingerprint are not found.
public struct CacheFingerprint: Hashable, Sendable, CustomStringConvertible {
    let digest: CacheDigest

    /// The SHA-256 over the format's version and these parts, each with its name.
    ///
    /// - Parameters:
    ///   - weights: The digest of the weights, such as `ModelFile.digest()`.
    ///   - tokenizer: The digest of the tokenizer.
    ///   - compressor: The digest of the compressor with its settings, or the type of uncompressed keys and values.
    ///   - rope: The settings of RoPE that are in force, context length and scaling included.
    ///   - segment: Tokens of a chunk.
    ///   - more: Whatever else the bytes depend on, by name.
    public init(
        weights: String, tokenizer: String, compressor: String, rope: String, segment: Int, more: [String: String] = [:]
    ) {
        let parts = [
            ("weights", weights), ("tokenizer", tokenizer), ("compressor", compressor), ("rope", rope),
            ("segment", String(segment)),
        ]
        digest = SHA256.labelled("fingerprint") { hash in
            hash.update(counted: Array("format".utf8))
            hash.update(counted: Array(String(ChunkHeader.version).utf8))
            for (name, value) in parts + more.sorted(by: { $0.key < $1.key }) {
                hash.update(counted: Array(name.utf8))
                hash.update(counted: Array(value.utf8))
            }
        }
    }

    init(digest: CacheDigest) { self.digest = digest }

    /// 64 hexadecimal digits.
    public var description: String { digest.description }
}
