// SPDX-License-Identifier: Apache-2.0

/// Which pairs of tokens merge, in which order of preference, and what they become.
struct MergeTable: Sendable {
    /// The rank of pairs that do not merge; all real ranks are lower.
    static let never = Int32.max

    /// A pair, the left token in the upper half, and its rank.
    private struct Entry {
        let pair: UInt64
        let rank: Int32
    }

    private var entries: [Entry] = []
    /// What pairs of each rank become.
    private var results: [TokenID] = []
    private var index: HashedIndex

    /// Makes the table of a tokenizer.
    init(_ definition: TokenizerDefinition, vocabulary: Vocabulary) throws {
        switch definition.order {
        case .listed(let merges): try self.init(definition, listed: merges, vocabulary: vocabulary)
        case .scored(let scores): try self.init(definition, scores: scores, vocabulary: vocabulary)
        }
    }

    /// Listed merges. Those of or into control tokens are left out, so that no text can become one.
    private init(_ definition: TokenizerDefinition, listed merges: [(Substring, Substring)], vocabulary: Vocabulary)
        throws
    {
        index = HashedIndex(capacity: merges.count)
        entries.reserveCapacity(merges.count)
        results.reserveCapacity(merges.count)
        for (left, right) in merges {
            guard let texts = Self.bytes(left, right, definition.spelling) else {
                throw Self.malformed(definition, left, right)
            }
            let tokens = texts.joined.withUnsafeBytes { joined in
                (
                    left: vocabulary.word(UnsafeRawBufferPointer(rebasing: joined[..<texts.middle])),
                    right: vocabulary.word(UnsafeRawBufferPointer(rebasing: joined[texts.middle...])),
                    joined: vocabulary.word(joined)
                )
            }
            if let left = tokens.left, let right = tokens.right, let joined = tokens.joined {
                // Of a merge that is listed twice the first place counts.
                insert(Self.pair(left, right), rank: Int32(results.count))
                results.append(joined)
            } else if ![left, right, left + right].contains(where: { vocabulary.controlTokens[String($0)] != nil }) {
                throw Self.malformed(definition, left, right)
            }
        }
    }

    /// The merges that SentencePiece's scores stand for: two tokens join where their texts joined are a token, the better
    /// its score the earlier; of equal scores the lower id comes first.
    private init(_ definition: TokenizerDefinition, scores: [Float], vocabulary: Vocabulary) throws {
        guard scores.count == vocabulary.count, scores.allSatisfy(\.isFinite) else {
            throw definition.malformed(
                "there are \(scores.count) scores for \(vocabulary.count) tokens, or one is no number")
        }
        let words = (0..<TokenID(vocabulary.count)).filter { id in
            (2...Self.longestScored).contains(vocabulary.bytes(of: id).count) && vocabulary.isWord(id)
        }
        results = words.sorted { (-scores[Int($0)], $0) < (-scores[Int($1)], $1) }
        index = HashedIndex(capacity: results.reduce(0) { $0 + vocabulary.bytes(of: $1).count - 1 })
        for (rank, token) in results.enumerated() {
            vocabulary.bytes(of: token).withUnsafeBytes { bytes in
                for middle in 1..<bytes.count {
                    guard let left = vocabulary.word(UnsafeRawBufferPointer(rebasing: bytes[..<middle])),
                        let right = vocabulary.word(UnsafeRawBufferPointer(rebasing: bytes[middle...]))
                    else { continue }
                    insert(Self.pair(left, right), rank: Int32(rank))
                }
            }
        }
    }

    /// Only a hostile file has longer tokens; they are left out, or looking at all their parts would take forever.
    private static let longestScored = 256

    private static func malformed(_ definition: TokenizerDefinition, _ left: Substring, _ right: Substring)
        -> TokenizerError
    {
        definition.malformed("the merge “\(left) \(right)” is not of two tokens that join into a third")
    }

    /// The bytes that both texts stand for, joined, and the number of the first's.
    private static func bytes(_ left: Substring, _ right: Substring, _ spelling: Vocabulary.Spelling) -> (
        joined: [UInt8], middle: Int
    )? {
        var bytes: [UInt8] = []
        guard spelling.append(left, to: &bytes) else { return nil }
        let middle = bytes.count
        return spelling.append(right, to: &bytes) ? (bytes, middle) : nil
    }

    /// Adds a pair unless it is there.
    private mutating func insert(_ pair: UInt64, rank: Int32) {
        guard self.rank(of: pair) == Self.never else { return }
        index.insert(entries.count, hash: HashedIndex.hash(pair)) { entries[$0].pair == pair }
        entries.append(Entry(pair: pair, rank: rank))
    }

    @inline(__always)
    private static func pair(_ left: TokenID, _ right: TokenID) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    @inline(__always)
    private func rank(of pair: UInt64) -> Int32 {
        index.find(hash: HashedIndex.hash(pair)) { entries[$0].pair == pair }.map { entries[$0].rank } ?? Self.never
    }

    /// The rank of a pair, ``never`` where it does not merge. Pairs of the same rank become the same token.
    @inline(__always)
    func rank(_ left: TokenID, _ right: TokenID) -> Int32 { rank(of: Self.pair(left, right)) }

    /// What the pair of a rank becomes.
    @inline(__always)
    func result(ofRank rank: Int32) -> TokenID { results[Int(rank)] }
}
