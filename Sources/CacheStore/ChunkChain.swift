// SPDX-License-Identifier: Apache-2.0
import Crypto

/// The chunks that a sequence of tokens consists of, by their keys: segments of one length and, after at least one of them, what
/// is left in shorter ones. ``CacheStore/chain(_:salt:segment:tail:tokens:)`` makes them.
public struct ChunkChain: Sendable {
    /// What the chunks depend on beside the tokens.
    public let fingerprint: CacheFingerprint
    /// The tokens of all chunks; a rest that fills none is left out.
    public let tokens: [Int32]
    /// Where each chunk ends, in tokens from the beginning.
    public let ends: [Int]
    /// One a chunk.
    public let keys: [ChunkKey]
    let salt: SaltTag
    private let root: ChunkKey
    private let lineages: [Lineage]

    /// The chunks of tokens, from the beginning; a rest that fills no chunk is left out.
    ///
    /// - Parameters:
    ///   - salt: The tenant's; chunks of one salt are not found under another. Empty for none.
    ///   - segment: Tokens of a chunk.
    ///   - tail: Tokens of each chunk after the last segment; nil where nothing is kept of what does not fill one.
    ///   - secret: The key of the store's encryption.
    public init(
        _ fingerprint: CacheFingerprint, salt: [UInt8], segment: Int, tail: Int? = nil, tokens: [Int32],
        secret: SymmetricKey? = nil
    ) {
        self.init(fingerprint, salt: SaltTag(salt: salt, secret: secret), segment: segment, tail: tail, tokens: tokens)
    }

    init(_ fingerprint: CacheFingerprint, salt: SaltTag, segment: Int, tail: Int?, tokens: [Int32]) {
        precondition(
            segment > 0 && segment <= ChunkHeader.mostTokens, "a chunk holds 1 to \(ChunkHeader.mostTokens) tokens")
        self.fingerprint = fingerprint
        self.salt = salt
        ends = Self.ends(tokens.count, segment: segment, tail: tail)
        self.tokens = Array(tokens.prefix(ends.last ?? 0))
        root = ChunkKey.root(fingerprint, salt: salt)
        var keys: [ChunkKey] = [], lineages: [Lineage] = [], first = 0
        for end in ends {
            let own = self.tokens[first..<end]
            first = end
            keys.append((keys.last ?? root).child(own))
            lineages.append((lineages.last ?? Lineage.root(salt: salt)).child(own))
        }
        self.keys = keys
        self.lineages = lineages
    }

    private static func ends(_ tokens: Int, segment: Int, tail: Int?) -> [Int] {
        let whole = tokens / segment * segment
        let segments = stride(from: segment, through: whole, by: segment)
        // A prompt that fills no segment is sooner computed than looked for.
        guard let tail, whole > 0 else { return Array(segments) }
        precondition(tail > 0 && tail < segment, "what follows segments is shorter than they are")
        return Array(segments) + stride(from: whole + tail, through: tokens, by: tail)
    }

    /// Chunks.
    public var count: Int { keys.count }

    /// Tokens of the first chunks.
    public func tokens(before index: Int) -> Int { index == 0 ? 0 : ends[index - 1] }

    /// The tokens of a chunk, by their positions.
    public func positions(_ index: Int) -> Range<Int> { tokens(before: index)..<ends[index] }

    func link(_ index: Int) -> ChunkLink {
        ChunkLink(
            key: keys[index], parent: index == 0 ? root : keys[index - 1], lineage: lineages[index],
            fingerprint: fingerprint, salt: salt, index: index,
            tokens: Array(tokens[positions(index)]))
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
