// SPDX-License-Identifier: Apache-2.0

/// What can go wrong beside PostgreSQL itself.
public enum JobQueueError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A text to be submitted holds U+0000, which PostgreSQL cannot store. `index` counts the jobs of the call from 0.
    case nulInText(index: Int, field: String)
    /// The database answered with a word that this version does not know.
    case unknownWord(String, column: String)

    /// A plain sentence.
    public var description: String {
        switch self {
        case .nulInText(let index, let field):
            "the \(field) of job \(index + 1) holds a NUL character, which PostgreSQL cannot store; remove it and submit again"
        case .unknownWord(let word, let column):
            "the database has \"\(word.prefix(100))\" as \(column), which this version of deltakv does not know; "
                + "use the version that migrated the database"
        }
    }
}
