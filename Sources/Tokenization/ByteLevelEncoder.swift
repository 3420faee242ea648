// SPDX-License-Identifier: Apache-2.0

/// Byte-level BPE (GPT-2 and its followers): text is split into words, and the tokens of a word's bytes are merged.
struct ByteLevelEncoder: Sendable {
    let preTokenizer: PreTokenizer
    /// Whether text is to be put in normalisation form C before.
    let composes: Bool
    let merges: MergeTable
    /// The token of each byte, negative where there is none.
    let byteTokens: [TokenID]
    /// Whether the bytes of a token, taken as a word, are merged into just that token. Most words of a text are such,
    /// and need no merging.
    private let isWholeWord: [Bool]

    /// - Parameter takesWholeWords: Whether a word that is in the vocabulary is taken as it is, even where merges would not
    ///   arrive at it.
    init(
        preTokenizer: PreTokenizer, takesWholeWords: Bool, composes: Bool, merges: MergeTable, vocabulary: Vocabulary
    ) {
        self.preTokenizer = preTokenizer
        self.composes = composes
        self.merges = merges
        byteTokens = (UInt8.min...UInt8.max).map { byte in withUnsafeBytes(of: byte, vocabulary.word) ?? -1 }
        isWholeWord = Self.wholeWords(vocabulary, merges, byteTokens, all: takesWholeWords)
    }

    /// Adds the tokens of valid UTF-8.
    func encode(
        _ text: UnsafeBufferPointer<UInt8>, vocabulary: Vocabulary, with merger: inout WordMerger,
        into tokens: inout [TokenID]
    ) {
        preTokenizer.forEachWord(in: text) { range in
            encode(
                word: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(text)[range]), vocabulary, with: &merger,
                into: &tokens)
        }
    }

    @inline(__always)
    private func encode(
        word: UnsafeRawBufferPointer, _ vocabulary: Vocabulary, with merger: inout WordMerger,
        into tokens: inout [TokenID]
    ) {
        if let token = vocabulary.word(word), isWholeWord[Int(token)] { return tokens.append(token) }
        for start in stride(from: 0, to: word.count, by: WordMerger.longestWord) {
            let piece = word[start..<min(start + WordMerger.longestWord, word.count)]
            merger.merge(piece.lazy.map { byteTokens[Int($0)] }.filter { $0 >= 0 }, into: &tokens)
        }
    }

    private static let longestWholeWord = 1024

    private static func wholeWords(_ vocabulary: Vocabulary, _ merges: MergeTable, _ byteTokens: [TokenID], all: Bool)
        -> [Bool]
    {
        if all { return Array(repeating: true, count: vocabulary.count) }
        var merger = WordMerger(merges: merges)
        var merged: [TokenID] = []
        return (0..<TokenID(vocabulary.count)).map { id in
            let bytes = vocabulary.bytes(of: id)
            // Only a hostile file has longer ones; they are merged when they come.
            guard bytes.count <= longestWholeWord else { return false }
            merged.removeAll(keepingCapacity: true)
            merger.merge(bytes.lazy.map { byteTokens[Int($0)] }.filter { $0 >= 0 }, into: &merged)
            return merged == [id]
        }
    }
}
