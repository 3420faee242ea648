// SPDX-License-Identifier: Apache-2.0
import Crypto

/// The chunks that a sequence of tokens consists of, by their keys: chunk `i` holds tokens `i × segment ..< (i + 1) × segment`.
/// ``CacheStore/chain(_:salt:segment:tokens:)`` makes them.
public struct ChunkChain: Sendable {
    /// What the chunks depend on beside the tokens.
    public let fingerprint: CacheFingerprint
    /// Tokens of each chunk.
    public let segment: Int
    /// The tokens of all whole chunks; a rest that fills none is left out.
    public let tokens: [Int32]
    /// One a chunk.
    public let keys: [ChunkKey]
    let salt: SaltTag
    private let root: ChunkKey
    private let lineages: [Lineage]

    /// The chunks of tokens, from the beginning; a rest that fills no chunk is left out.
    ///
    /// - Parameters:
    ///   - salt: The tenant's; chunks of one salt are not found under another. Empty for none.
    ///   - secret: The key of the store's encryption.
    public init(
        _ fingerprint: CacheFingerprint, salt: [UInt8], segment: Int, tokens: [Int32], secret: SymmetricKey? = nil
    ) {
        self.init(fingerprint, salt: SaltTag(salt: salt, secret: secret), segment: segment, tokens: tokens)
    }

    init(_ fingerprint: CacheFingerprint, salt: SaltTag, segment: Int, tokens: [Int32]) {
        precondition(
            segment > 0 && segment <= ChunkHeader.mostTokens, "a chunk holds 1 to \(ChunkHeader.mostTokens) tokens")
        let count = tokens.count / segment
        self.fingerprint = fingerprint
        self.salt = salt
        self.segment = segment
        self.tokens = Array(tokens.prefix(count * segment))
        root = ChunkKey.root(fingerprint, salt: salt)
        var keys: [ChunkKey] = [], lineages: [Lineage] = []
        for index in 0..<count {
            let own = self.tokens[index * segment..<(index + 1) * segment]
            keys.append((keys.last ?? root).child(own))
            lineages.append((lineages.last ?? Lineage.root(salt: salt)).child(own))
        }
        self.keys = keys
        self.lineages = lineages
    }

    /// Chunks.
    public var count: Int { keys.count }

    func link(_ index: Int) -> ChunkLink {
        ChunkLink(
            key: keys[index], parent: index == 0 ? root : keys[index - 1], lineage: lineages[index],
            fingerprint: fingerprint, salt: salt, index: index,
            tokens: Array(tokens[index * segment..<(index + 1) * segment]))
    }
}

/// What a chunk must say of itself to be a certain link of a chain.
struct ChunkLink: Sendable, Equatable {
    let key: ChunkKey
    let parent: ChunkKey
    let lineage: Lineage
    let fingerprint: CacheFingerprint
    let salt: SaltTag
    let index: Int
    let tokens: [Int32]

    /// Whether the key follows from the rest, as far as a chunk alone can tell.
    var isConsistent: Bool {
        parent.child(tokens[...]) == key && (index > 0 || parent == ChunkKey.root(fingerprint, salt: salt))
    }
}
