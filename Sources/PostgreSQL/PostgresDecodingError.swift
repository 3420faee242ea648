// SPDX-License-Identifier: Apache-2.0

/// A column that is not there or does not hold what was asked for. Never quotes the value.
public enum PostgresDecodingError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The result has no such column.
    case missingColumn(String, available: [String])
    /// The column is null and the wanted type is not optional.
    case unexpectedNull(column: String, wanted: String)
    /// The column's type (object id in `pg_type`) is not one that the wanted type is read from.
    case wrongType(column: String, typeID: UInt32, wanted: String)
    /// The value cannot be represented: out of range, not UTF-8, an array of more than one dimension.
    case invalidValue(column: String, wanted: String)
    /// One row was expected.
    case wrongRowCount(Int, expected: String)

    /// One plain sentence.
    public var description: String {
        switch self {
        case .missingColumn(let name, let available):
            "The result has no column \"\(name)\"; it has \(available.joined(separator: ", "))."
        case .unexpectedNull(let column, let wanted):
            "Column \"\(column)\" is null where \(wanted) was expected; read it as an optional."
        case .wrongType(let column, let typeID, let wanted):
            "Column \"\(column)\" has the type with object id \(typeID), which is not read as \(wanted); cast it in SQL."
        case .invalidValue(let column, let wanted):
            "Column \"\(column)\" holds a value that does not fit \(wanted)."
        case .wrongRowCount(let count, let expected):
            "The statement returned \(count) rows where \(expected) expected."
        }
    }
}
