// SPDX-License-Identifier: Apache-2.0

/// SentencePiece BPE (Kudo and Richardson, arXiv 1808.06226) as Llama 2 and Mistral use it: the characters of a text are
/// merged, always the pair whose joined token has the best score, the leftmost of equals; a character without a token
/// becomes its bytes. U+2581 stands for a space, in the vocabulary and in texts.
struct SentencePieceEncoder: Sendable {
    let merges: MergeTable
    /// Where a space is put in front of text.
    let addedSpace: TokenizerDefinition.AddedSpace
    /// The tokens `<0x00>` … `<0xFF>`, which nothing merges with.
    private let byteTokens: [TokenID]
    /// The tokens of single ASCII characters, else those of bytes.
    private let asciiTokens: [TokenID]
    private let isWholeWord: [Bool]
    /// Whether merges never reach over the start of a word, so that words can be merged one by one.
    private let splitsWords: Bool

    private static let space = UInt8(ascii: " ")
    private static let longestWholeWord = 256

    init(addedSpace: TokenizerDefinition.AddedSpace, byteTokens: [TokenID], merges: MergeTable, vocabulary: Vocabulary)
    {
        let asciiTokens = (UInt8.min...0x7f).map { byte in
            withUnsafeBytes(of: byte, vocabulary.word) ?? byteTokens[Int(byte)]
        }
        self.merges = merges
        self.byteTokens = byteTokens
        self.asciiTokens = asciiTokens
        self.addedSpace = addedSpace
        var merger = WordMerger(merges: merges)
        var splits = true
        isWholeWord = (0..<TokenID(vocabulary.count)).map { id in
            let bytes = vocabulary.bytes(of: id)
            guard vocabulary.isWord(id) else { return false }
            splits = splits && !Self.holdsWordStart(bytes)
            guard bytes.count <= Self.longestWholeWord else { return false }
            var characters: [TokenID] = [], merged: [TokenID] = []
            bytes.withUnsafeBytes {
                Self.characters(of: $0, vocabulary, ascii: asciiTokens, bytes: byteTokens, into: &characters)
            }
            merger.merge(characters, into: &merged)
            return merged == [id]
        }
        splitsWords = splits
    }

    /// Adds the tokens of valid UTF-8 that begins a prompt (`isFirst`) or follows a control token.
    func encode(
        _ text: UnsafeBufferPointer<UInt8>, isFirst: Bool, vocabulary: Vocabulary, with merger: inout WordMerger,
        into tokens: inout [TokenID]
    ) {
        guard !text.isEmpty else { return }
        let spaced = spaces(text, adding: addsSpace(to: text, isFirst: isFirst))
        var characters: [TokenID] = []
        spaced.withUnsafeBytes { bytes in
            var start = 0
            while start < bytes.count {
                let end = splitsWords ? Self.wordEnd(bytes, from: start) : bytes.count
                let word = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
                start = end
                if let token = vocabulary.word(word), isWholeWord[Int(token)] {
                    tokens.append(token)
                    continue
                }
                characters.removeAll(keepingCapacity: true)
                Self.characters(of: word, vocabulary, ascii: asciiTokens, bytes: byteTokens, into: &characters)
                for first in stride(from: 0, to: characters.count, by: WordMerger.longestWord) {
                    let last = min(first + WordMerger.longestWord, characters.count)
                    merger.merge(characters[first..<last], into: &tokens)
                }
            }
        }
    }

    private func addsSpace(to text: UnsafeBufferPointer<UInt8>, isFirst: Bool) -> Bool {
        let isThere = text[0] == Self.space || text.starts(with: [0xe2, 0x96, 0x81])
        return switch addedSpace {
        case .nowhere: false
        case .atBeginningUnlessThere: isFirst && !isThere
        case .everywhereUnlessThere: !isThere
        case .everywhere: true
        }
    }

    /// The text with a space in front where one belongs there, and spaces for U+2581.
    private func spaces(_ text: UnsafeBufferPointer<UInt8>, adding: Bool) -> [UInt8] {
        var bytes: [UInt8] = adding ? [Self.space] : []
        bytes.reserveCapacity(text.count + 1)
        var offset = 0
        while offset < text.count {
            if text[offset] == 0xe2, offset + 2 < text.count, text[offset + 1] == 0x96, text[offset + 2] == 0x81 {
                bytes.append(Self.space)
                offset += 3
            } else {
                bytes.append(text[offset])
                offset += 1
            }
        }
        return bytes
    }

    /// A word is spaces and what follows up to the next space.
    private static func wordEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var end = start
        while end < bytes.count, bytes[end] == space { end += 1 }
        while end < bytes.count, bytes[end] != space { end += 1 }
        return end
    }

    private static func holdsWordStart(_ bytes: ArraySlice<UInt8>) -> Bool {
        zip(bytes, bytes.dropFirst()).contains { $0 != space && $1 == space }
    }

    /// Adds the token of each character, or of each of its bytes.
    private static func characters(
        of word: UnsafeRawBufferPointer, _ vocabulary: Vocabulary, ascii: [TokenID], bytes: [TokenID],
        into tokens: inout [TokenID]
    ) {
        var offset = 0
        while offset < word.count {
            let first = word[offset]
            let length = min(max(1, (~first).leadingZeroBitCount), word.count - offset)
            let character = UnsafeRawBufferPointer(rebasing: word[offset..<offset + length])
            offset += length
            if first < 0x80 {
                tokens.append(ascii[Int(first)])
            } else if let token = vocabulary.word(character) {
                tokens.append(token)
            } else {
                for byte in character { tokens.append(bytes[Int(byte)]) }
            }
        }
    }
}
