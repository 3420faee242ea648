// SPDX-License-Identifier: Apache-2.0

/// The tokens of a vocabulary: the bytes each stands for, and which are control tokens.
final class Vocabulary: Sendable {
    /// What the format says about a token; raw values are its own.
    enum Kind: UInt8 {
        case normal = 1
        case unknown = 2
        case control = 3
        case userDefined = 4
        case unused = 5
        case byte = 6
    }

    /// How the bytes of tokens are written.
    enum Spelling {
        /// In the stand-ins of ``ByteAlphabet``.
        case byteLevel
        /// As text, with U+2581 for a space, and `<0x00>` for tokens of bytes.
        case sentencePiece

        /// Adds the bytes that a token's text stands for.
        ///
        /// - Returns: false where a character is outside the alphabet; then nothing is added.
        func append(_ text: Substring, to bytes: inout [UInt8]) -> Bool {
            if self == .byteLevel { return ByteAlphabet.append(text, to: &bytes) }
            for scalar in text.unicodeScalars {
                if scalar == "\u{2581}" {
                    bytes.append(UInt8(ascii: " "))
                } else {
                    bytes += UTF8.encode(scalar) ?? .init()
                }
            }
            return true
        }
    }

    let count: Int
    /// The tokens of single bytes of SentencePiece, nil where any is missing.
    let byteTokens: [TokenID]?
    /// The control tokens, and those that the model's makers added to the vocabulary, by their text.
    let controlTokens: [String: TokenID]

    /// The bytes of all tokens, one after another.
    private let bytes: [UInt8]
    /// Where each token's bytes start, and the end of the last.
    private let starts: [Int]
    private let kinds: [Kind]
    /// The tokens that text can become, by their bytes.
    private let words: HashedIndex

    init(_ definition: TokenizerDefinition) throws {
        let tokens = definition.tokens, spelling = definition.spelling
        let kinds = tokens.map(\.kind)
        guard !tokens.isEmpty, tokens.count <= Int(Int32.max) / 4 else {
            throw definition.malformed("the vocabulary has \(tokens.count) tokens")
        }
        var bytes: [UInt8] = []
        var starts = [0]
        var words = HashedIndex(capacity: tokens.count)
        var controlTokens: [String: TokenID] = [:]
        var byteTokens: [UInt8: TokenID] = [:]
        starts.reserveCapacity(tokens.count + 1)
        for (id, (token, _)) in tokens.enumerated() {
            let start = bytes.count
            let isControl = kinds[id] == .control
            if kinds[id] == .byte, spelling == .sentencePiece, let byte = Self.byte(token) {
                byteTokens[byte] = TokenID(id)
                bytes.append(byte)
                starts.append(bytes.count)
                continue
            }
            if isControl || kinds[id] == .userDefined { controlTokens[token] = TokenID(id) }
            let mayBeWord = spelling == .byteLevel ? !isControl : kinds[id] == .normal || kinds[id] == .userDefined
            let isWord = mayBeWord && !token.isEmpty && spelling.append(token[...], to: &bytes)
            if !isWord { bytes.append(contentsOf: token.utf8) }
            starts.append(bytes.count)
            guard isWord else { continue }
            bytes.withUnsafeBytes { all in
                let word = UnsafeRawBufferPointer(rebasing: all[start...])
                words.insert(id, hash: HashedIndex.hash(word)) {
                    word.elementsEqual(all[starts[$0]..<starts[$0 + 1]])
                }
            }
        }
        self.count = tokens.count
        self.bytes = bytes
        self.starts = starts
        self.kinds = kinds
        self.words = words
        self.controlTokens = controlTokens
        self.byteTokens = byteTokens.count == 256 ? (UInt8.min...UInt8.max).compactMap { byteTokens[$0] } : nil
    }

    /// The byte that a token such as `<0x0A>` stands for.
    static func byte(_ token: String) -> UInt8? {
        guard token.utf8.count == 6, token.hasPrefix("<0x"), token.hasSuffix(">") else { return nil }
        return UInt8(token.dropFirst(3).dropLast(), radix: 16)
    }

    /// The token that text of these bytes can become, nil where there is none. Never a control token.
    @inline(__always)
    func word(_ word: UnsafeRawBufferPointer) -> TokenID? {
        let found = bytes.withUnsafeBytes { all in
            words.find(hash: HashedIndex.hash(word)) { id in
                let start = starts[id]
                let length = starts[id + 1] - start
                guard length == word.count else { return false }
                for index in 0..<length where all[start + index] != word[index] { return false }
                return true
            }
        }
        return found.map(TokenID.init)
    }

    /// Whether text can become a token. Of several tokens with the same bytes only one can be.
    func isWord(_ id: TokenID) -> Bool { bytes(of: id).withUnsafeBytes(word) == id }

    /// Whether an id is that of a control token.
    func isControl(_ id: TokenID) -> Bool { kinds.indices.contains(Int(id)) && kinds[Int(id)] == .control }

    /// The bytes that a token stands for in text: none for control tokens and for ids outside the vocabulary.
    func bytes(of id: TokenID) -> ArraySlice<UInt8> {
        guard kinds.indices.contains(Int(id)), kinds[Int(id)] != .control else { return [] }
        return bytes[starts[Int(id)]..<starts[Int(id) + 1]]
    }
}
