// SPDX-License-Identifier: Apache-2.0
import CPostgreSQL

/// What a statement returned: rows, and the command tag.
public struct PostgresResult: Sendable, RandomAccessCollection {
    let storage: ResultStorage

    /// Names of the columns, in order.
    public var columns: [String] { storage.columns }
    /// The command tag, as `INSERT 0 3` or `SELECT 1`.
    public var commandTag: String { String(cString: PQcmdStatus(storage.pointer)) }
    /// Rows inserted, updated, deleted, copied or selected; 0 for commands without a count.
    public var affectedRows: Int { Int(String(cString: PQcmdTuples(storage.pointer))) ?? 0 }

    /// Always 0.
    public var startIndex: Int { 0 }
    /// Number of rows.
    public var endIndex: Int { storage.rowCount }
    /// The row at `position`, which must be less than `count`.
    public subscript(position: Int) -> PostgresRow {
        precondition(position >= 0 && position < storage.rowCount, "row index out of range")
        return PostgresRow(storage: storage, row: position)
    }

    /// The only row. Throws `wrongRowCount` where there is none or more than one.
    public func onlyRow() throws(PostgresDecodingError) -> PostgresRow {
        guard count == 1 else { throw .wrongRowCount(count, expected: "one was") }
        return self[0]
    }

    /// The only row, or nil where there is none. Throws `wrongRowCount` where there are more.
    public func onlyRowIfAny() throws(PostgresDecodingError) -> PostgresRow? {
        guard count <= 1 else { throw .wrongRowCount(count, expected: "at most one was") }
        return first
    }
}

/// One row of a result.
public struct PostgresRow: Sendable {
    let storage: ResultStorage
    let row: Int

    /// The value of the column named `column`.
    /// Throws when there is no such column, it is null and `Value` not optional, or it does not hold a `Value`.
    public func get<Value: PostgresDecodable>(
        _ column: String, as type: Value.Type = Value.self
    ) throws(PostgresDecodingError) -> Value {
        guard let index = storage.index(of: column) else {
            throw .missingColumn(column, available: storage.columns)
        }
        return try Value(postgres: PostgresCell(storage: storage, row: row, column: index))
    }

    /// The value of the column at `index`, from 0. Throws as the variant by name does.
    public func get<Value: PostgresDecodable>(
        _ index: Int, as type: Value.Type = Value.self
    ) throws(PostgresDecodingError) -> Value {
        guard storage.columns.indices.contains(index) else {
            throw .missingColumn(String(index), available: storage.columns)
        }
        return try Value(postgres: PostgresCell(storage: storage, row: row, column: index))
    }
}

/// One value of a result, in text form, before it is given a Swift type.
public struct PostgresCell: Sendable {
    let storage: ResultStorage
    let row: Int
    let column: Int

    /// Name of the column.
    public var columnName: String { storage.columns[column] }
    /// Object id of the column's type.
    public var typeID: UInt32 { PQftype(storage.pointer, Int32(column)) }
    /// Whether the value is null.
    public var isNull: Bool { PQgetisnull(storage.pointer, Int32(row), Int32(column)) != 0 }

    /// The bytes of the text form; `wanted` names the type in errors. Throws `unexpectedNull` for null.
    public func withBytes<Result>(
        wanted: String, _ body: (UnsafeRawBufferPointer) -> Result
    ) throws(PostgresDecodingError) -> Result {
        guard !isNull, let value = PQgetvalue(storage.pointer, Int32(row), Int32(column)) else {
            throw .unexpectedNull(column: columnName, wanted: wanted)
        }
        let length = Int(PQgetlength(storage.pointer, Int32(row), Int32(column)))
        return withExtendedLifetime(storage) { body(UnsafeRawBufferPointer(start: value, count: length)) }
    }

    /// The text form. Throws `unexpectedNull` for null and `invalidValue` where it is not UTF-8.
    public func text(wanted: String = "text") throws(PostgresDecodingError) -> String {
        let text = try withBytes(wanted: wanted) { String(validating: $0, as: UTF8.self) }
        guard let text else { throw .invalidValue(column: columnName, wanted: wanted) }
        return text
    }
}

/// Owns libpq's result. It is never written after it was made, so that any thread may read it.
final class ResultStorage: @unchecked Sendable {
    let pointer: OpaquePointer
    let rowCount: Int
    let columns: [String]
    private let columnIndices: [String: Int]

    init(_ pointer: OpaquePointer) {
        self.pointer = pointer
        rowCount = Int(PQntuples(pointer))
        columns = (0..<PQnfields(pointer)).map { String(cString: PQfname(pointer, $0)) }
        columnIndices = Dictionary(zip(columns, columns.indices), uniquingKeysWith: { first, _ in first })
    }

    deinit { PQclear(pointer) }

    func index(of column: String) -> Int? { columnIndices[column] }
}
