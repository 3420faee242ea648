// SPDX-License-Identifier: Apache-2.0
import ModelFiles

/// Which pairs of tokens merge, in which order of preference, and what they become.
struct MergeTable: Sendable {
    /// The rank of pairs that do not merge; all real ranks are lower.
    static let never = Int32.max

    /// The pairs by rank, the left token in the upper half.
    private var pairs: [UInt64] = []
    private var results: [TokenID] = []
    private var index: HashedIndex

    /// Reads the merges of a file. Merges into control tokens are left out, so that no text can become one.
    init(file: GGUFFile, vocabulary: Vocabulary) throws {
        let merges = try file.metadata.strings("tokenizer.ggml.merges")
        index = HashedIndex(capacity: merges.count)
        pairs.reserveCapacity(merges.count)
        results.reserveCapacity(merges.count)
        var bytes: [UInt8] = []
        for merge in merges {
            func malformed() -> TokenizerError {
                .malformedVocabulary(
                    path: file.path, "the merge “\(merge)” is not of two tokens that join into a third")
            }
            // A token cannot start with the separator, which is outside the alphabet.
            guard let separator = merge.utf8.firstIndex(of: UInt8(ascii: " ")) else { throw malformed() }
            bytes.removeAll(keepingCapacity: true)
            guard ByteAlphabet.append(merge[..<separator], to: &bytes) else { throw malformed() }
            let middle = bytes.count
            guard ByteAlphabet.append(merge[merge.utf8.index(after: separator)...], to: &bytes) else {
                throw malformed()
            }
            let tokens = bytes.withUnsafeBytes { word in
                (
                    left: vocabulary.word(UnsafeRawBufferPointer(rebasing: word[..<middle])),
                    right: vocabulary.word(UnsafeRawBufferPointer(rebasing: word[middle...])),
                    joined: vocabulary.word(word)
                )
            }
            guard let left = tokens.left, let right = tokens.right, let joined = tokens.joined else {
                throw malformed()
            }
            insert(Self.pair(left, right), joined)
        }
    }

    private mutating func insert(_ pair: UInt64, _ result: TokenID) {
        let rank = pairs.count
        let hash = HashedIndex.hash(pair)
        // Of a merge that is listed twice the first place counts; the second keeps its rank but is never found.
        if self.rank(of: pair) == Self.never { index.insert(rank, hash: hash) { pairs[$0] == pair } }
        pairs.append(pair)
        results.append(result)
    }

    @inline(__always)
    private static func pair(_ left: TokenID, _ right: TokenID) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    @inline(__always)
    private func rank(of pair: UInt64) -> Int32 {
        index.find(hash: HashedIndex.hash(pair)) { pairs[$0] == pair }.map(Int32.init(truncatingIfNeeded:))
            ?? Self.never
    }

    /// The rank of a pair, ``never`` where it does not merge. No two pairs have the same rank.
    @inline(__always)
    func rank(_ left: TokenID, _ right: TokenID) -> Int32 { rank(of: Self.pair(left, right)) }

    /// What the pair of a rank becomes.
    @inline(__always)
    func result(ofRank rank: Int32) -> TokenID { results[Int(rank)] }
}
