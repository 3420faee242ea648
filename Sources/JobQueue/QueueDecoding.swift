// SPDX-License-Identifier: Apache-2.0
import PostgreSQL

extension PostgresRow {
    /// A column that holds one word of a fixed set, or null.
    func word<Word: RawRepresentable>(_ column: String) throws -> Word? where Word.RawValue == String {
        guard let text = try get(column, as: String?.self) else { return nil }
        guard let word = Word(rawValue: text) else { throw JobQueueError.unknownWord(text, column: column) }
        return word
    }

    /// A column that holds one word of a fixed set.
    func requiredWord<Word: RawRepresentable>(_ column: String) throws -> Word where Word.RawValue == String {
        guard let word: Word = try word(column) else { throw JobQueueError.unknownWord("", column: column) }
        return word
    }
}

extension Duration {
    /// For `make_interval(secs => …)`.
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
