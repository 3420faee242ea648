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

    /// Reads the merges of a file. Merges of or into control tokens are left out, so that no text can
    /// become one.
    init(file: GGUFFile, vocabulary: Vocabulary) throws {
        let merges = try file.metadata.strings("tokenizer.ggml.merges")
        index = HashedIndex(capacity: merges.count)
        pairs.reserveCapacity(merges.count)
        results.reserveCapacity(merges.count)
        for merge in merges {
            guard let (left, right) = Self.halves(merge), let texts = Self.bytes(left, right) else {
                throw Self.malformed(file, merge)
            }
            let tokens = texts.joined.withUnsafeBytes { joined in
                (
                    left: vocabulary.word(UnsafeRawBufferPointer(rebasing: joined[..<texts.middle])),
                    right: vocabulary.word(UnsafeRawBufferPointer(rebasing: joined[texts.middle...])),
                    joined: vocabulary.word(joined)
                )
            }
            if let left = tokens.left, let right = tokens.right, let joined = tokens.joined {
                insert(Self.pair(left, right), joined)
            } else if ![left, right, left + right].contains(where: { vocabulary.controlTokens[String($0)] != nil }) {
                throw Self.malformed(file, merge)
            }
        }
    }

    private static func malformed(_ file: GGUFFile, _ merge: String) -> TokenizerError {
        .malformedVocabulary(path: file.path, "the merge “\(merge)” is not of two tokens that join into a third")
    }

    /// The two texts of a merge. The separator cannot be part of them: it is outside the alphabet.
    private static func halves(_ merge: String) -> (Substring, Substring)? {
        guard let separator = merge.utf8.firstIndex(of: UInt8(ascii: " ")) else { return nil }
        return (merge[..<separator], merge[merge.utf8.index(after: separator)...])
    }

    /// The bytes that both texts stand for, joined, and the number of the first's.
    private static func bytes(_ left: Substring, _ right: Substring) -> (joined: [UInt8], middle: Int)? {
        var bytes: [UInt8] = []
        guard ByteAlphabet.append(left, to: &bytes) else { return nil }
        let middle = bytes.count
        return ByteAlphabet.append(right, to: &bytes) ? (bytes, middle) : nil
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
