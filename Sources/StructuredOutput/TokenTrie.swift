// SPDX-License-Identifier: Apache-2.0
import Tokenization

/// The texts of a vocabulary's tokens as a tree of bytes, so that a prefix is looked at once for all that start so.
public final class TokenTrie: Sendable {
    /// A node, in the order of a walk through the tree.
    struct Node: Sendable {
        let byte: UInt8
        /// Bytes from the root, from 1.
        let depth: UInt16
        /// Where the walk goes on after all below this node.
        let skip: Int32
        /// The tokens that end here: a range of ``tokens``.
        let first: Int32
        let count: Int32
    }

    let nodes: [Node]
    let tokens: [TokenID]
    /// Tokens of the vocabulary.
    let vocabulary: Int
    /// The bytes of the longest token.
    let longest: Int
    private let byteTokens: [TokenID?]
    private let tokenizer: Tokenizer

    /// Reads the vocabulary of a tokenizer. Control tokens and tokens without text are left out, and tokens of more than
    /// 256 bytes.
    public init(_ tokenizer: Tokenizer) {
        var texts: [(bytes: [UInt8], token: TokenID)] = []
        for token in 0..<TokenID(tokenizer.vocabularyCount) {
            let bytes = tokenizer.bytes(of: token)
            if !bytes.isEmpty, bytes.count <= 256 { texts.append((bytes, token)) }
        }
        texts.sort { $0.bytes == $1.bytes ? $0.token < $1.token : $0.bytes.lexicographicallyPrecedes($1.bytes) }
        var builder = Builder()
        for (bytes, token) in texts { builder.add(bytes, token) }
        nodes = builder.finish()
        tokens = builder.tokens
        vocabulary = tokenizer.vocabularyCount
        self.tokenizer = tokenizer
        longest = texts.reduce(0) { max($0, $1.bytes.count) }
        var byteTokens = [TokenID?](repeating: nil, count: 256)
        for (bytes, token) in texts where bytes.count == 1 {
            byteTokens[Int(bytes[0])] = byteTokens[Int(bytes[0])] ?? token
        }
        self.byteTokens = byteTokens
    }

    private struct Builder {
        var open: [Int] = []
        var path: [UInt8] = []
        var tokens: [TokenID] = []
        var nodes: [(byte: UInt8, depth: Int, skip: Int, first: Int, count: Int)] = []

        mutating func add(_ bytes: [UInt8], _ token: TokenID) {
            let common = zip(path, bytes).prefix { $0 == $1 }.count
            close(to: common)
            for byte in bytes[common...] {
                open.append(nodes.count)
                path.append(byte)
                nodes.append((byte, path.count, 0, tokens.count, 0))
            }
            nodes[open[open.count - 1]].count += 1
            tokens.append(token)
        }

        private mutating func close(to depth: Int) {
            while open.count > depth {
                nodes[open.removeLast()].skip = nodes.count
                path.removeLast()
            }
        }

        mutating func finish() -> [Node] {
            close(to: 0)
            return nodes.map {
                Node(
                    byte: $0.byte, depth: UInt16($0.depth), skip: Int32($0.skip), first: Int32($0.first),
                    count: Int32($0.count))
            }
        }
    }

    /// The bytes that a token stands for.
    func bytes(of token: TokenID) -> [UInt8] { tokenizer.bytes(of: token) }

    /// The first byte among some that no token stands for alone.
    func missingByte(among bytes: some Sequence<UInt8>) -> UInt8? { bytes.first { byteTokens[Int($0)] == nil } }

    /// How many tokens a text takes when the longest that fits is taken each time.
    func greedyCount(_ bytes: [UInt8]) -> Int {
        var place = 0, count = 0
        while place < bytes.count {
            place += max(1, longestMatch(bytes[place...]))
            count += 1
        }
        return count
    }

    private func longestMatch(_ bytes: ArraySlice<UInt8>) -> Int {
        var node = 0, depth = 0, best = 0
        while node < nodes.count, depth < bytes.count, Int(nodes[node].depth) == depth + 1 {
            if nodes[node].byte != bytes[bytes.startIndex + depth] {
                node = Int(nodes[node].skip)
                continue
            }
            depth += 1
            if nodes[node].count > 0 { best = depth }
            node += 1
        }
        return best
    }
}
