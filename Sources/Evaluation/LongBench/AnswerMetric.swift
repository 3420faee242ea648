// SPDX-License-Identifier: Apache-2.0

/// How answers are scored against references, from 0 to 1.
public enum AnswerMetric: String, Sendable, CaseIterable {
    /// Words in common, as harmonic mean of precision and recall (``TokenF1``).
    case f1
    /// Longest common subsequence of words (``RougeL``).
    case rougeL
    /// Whether the reference is what the answer says (``Accuracy``).
    case accuracy
    /// Characters that need no editing (``EditSimilarity``).
    case editSimilarity

    /// The best score over the references.
    ///
    /// - Parameter classes: All answers that there could be, for ``accuracy``; empty if that is open.
    public func score(_ answer: String, references: [String], classes: [String] = []) -> Double {
        references.map { reference in
            switch self {
            case .f1: TokenF1.score(answer, reference)
            case .rougeL: RougeL.score(answer, reference)
            case .accuracy: Accuracy.score(answer, reference, classes: classes)
            case .editSimilarity: EditSimilarity.ofFirstLine(answer, reference)
            }
        }.max() ?? 0
    }
}

/// F1 over words, as question answering is scored (Rajpurkar et al., SQuAD, 2016): case, punctuation and articles do not count.
enum TokenF1 {
    static func score(_ answer: String, _ reference: String) -> Double {
        let found = words(answer), wanted = words(reference)
        var left: [String: Int] = [:]
        for word in wanted { left[word, default: 0] += 1 }
        var common = 0
        for word in found {
            guard let count = left[word], count > 0 else { continue }
            left[word] = count - 1
            common += 1
        }
        guard common > 0 else { return 0 }
        let precision = Double(common) / Double(found.count), recall = Double(common) / Double(wanted.count)
        return 2 * precision * recall / (precision + recall)
    }

    private static let articles: Set<String> = ["a", "an", "the"]
    private static let punctuation = Set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".unicodeScalars)

    /// Lower-case words without ASCII punctuation and articles.
    static func words(_ text: String) -> [String] {
        var kept = String.UnicodeScalarView()
        for scalar in text.lowercased().unicodeScalars where !punctuation.contains(scalar) { kept.append(scalar) }
        return String(kept).split(whereSeparator: \.isWhitespace).map(String.init).filter { !articles.contains($0) }
    }
}

/// ROUGE-L (Lin, 2004) on one text: F1 over the longest common subsequence of lower-case words of ASCII letters and digits,
/// without stemming.
enum RougeL {
    static func score(_ answer: String, _ reference: String) -> Double {
        let found = words(answer), wanted = words(reference)
        guard !found.isEmpty, !wanted.isEmpty else { return 0 }
        let common = CommonSubsequence.length(found, wanted)
        guard common > 0 else { return 0 }
        let precision = Double(common) / Double(found.count), recall = Double(common) / Double(wanted.count)
        return 2 * precision * recall / (precision + recall)
    }

    static func words(_ text: String) -> [Substring] {
        text.lowercased().split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }
    }
}

/// Whether an answer is right.
enum Accuracy {
    /// With classes: one divided by the number of classes that the answer names, if the reference is among them; a class
    /// within the name of another that is named does not count. Without: whether the answer begins with the reference,
    /// as words.
    static func score(_ answer: String, _ reference: String, classes: [String]) -> Double {
        guard !classes.isEmpty else {
            let found = TokenF1.words(answer), wanted = TokenF1.words(reference)
            return !wanted.isEmpty && found.starts(with: wanted) ? 1 : 0
        }
        let named = classes.filter { answer.contains($0) }
        let distinct = named.filter { name in name == reference || !reference.contains(name) }
        return distinct.contains(reference) ? 1 / Double(distinct.count) : 0
    }
}

/// Similarity of code: twice the longest common subsequence of characters over both lengths.
enum EditSimilarity {
    /// Of the answer's first line that is no comment or fence.
    static func ofFirstLine(_ answer: String, _ reference: String) -> Double {
        let lines = answer.split(separator: "\n", omittingEmptySubsequences: true)
        let line = lines.first { line in !["`", "#", "//"].contains { line.contains($0) } } ?? ""
        return score(String(line), reference)
    }

    static func score(_ a: String, _ b: String) -> Double {
        let x = Array(a.unicodeScalars), y = Array(b.unicodeScalars)
        guard !x.isEmpty || !y.isEmpty else { return 1 }
        return 2 * Double(CommonSubsequence.length(x, y)) / Double(x.count + y.count)
    }
}

/// The longest common subsequence.
enum CommonSubsequence {
    /// Its length, in time of the product and memory of one of the lengths.
    static func length<Element: Equatable>(_ a: [Element], _ b: [Element]) -> Int {
        var row = [Int](repeating: 0, count: b.count + 1)
        for x in a {
            var diagonal = 0
            for (index, y) in b.enumerated() {
                let above = row[index + 1]
                row[index + 1] = x == y ? diagonal + 1 : max(above, row[index])
                diagonal = above
            }
        }
        return row[b.count]
    }
}
