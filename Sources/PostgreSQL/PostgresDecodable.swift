// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Something that can be read from a column.
public protocol PostgresDecodable: Sendable {
    /// Reads the value. Throws when it is null, of another type, or cannot be represented.
    init(postgres cell: PostgresCell) throws(PostgresDecodingError)
}

extension PostgresCell {
    private func require(_ types: Set<UInt32>, _ wanted: String) throws(PostgresDecodingError) {
        guard types.contains(typeID) else { throw .wrongType(column: columnName, typeID: typeID, wanted: wanted) }
    }

    fileprivate func parsed<Value>(
        from types: Set<UInt32>, _ wanted: String, _ parse: (String) -> Value?
    ) throws(PostgresDecodingError) -> Value {
        try require(types, wanted)
        guard let value = parse(try text(wanted: wanted)) else {
            throw .invalidValue(column: columnName, wanted: wanted)
        }
        return value
    }

    fileprivate func elements<Value>(
        from types: Set<UInt32>?, _ wanted: String, _ parse: (String) -> Value?
    ) throws(PostgresDecodingError) -> [Value?] {
        if let types { try require(types, wanted) }
        let text = try text(wanted: wanted)
        guard let parts = ArrayText.parse(text) else {
            throw types == nil
                ? .wrongType(column: columnName, typeID: typeID, wanted: wanted)
                : .invalidValue(column: columnName, wanted: wanted)
        }
        var values: [Value?] = []
        values.reserveCapacity(parts.count)
        for part in parts {
            guard let part else {
                values.append(nil)
                continue
            }
            guard let value = parse(part) else { throw .invalidValue(column: columnName, wanted: wanted) }
            values.append(value)
        }
        return values
    }

    fileprivate func withoutNulls<Value>(_ values: [Value?], _ wanted: String) throws(PostgresDecodingError) -> [Value]
    {
        let present = values.compactMap { $0 }
        guard present.count == values.count else { throw .unexpectedNull(column: columnName, wanted: wanted) }
        return present
    }
}

extension String: PostgresDecodable {
    /// The text form of a value of any type.
    public init(postgres cell: PostgresCell) throws(PostgresDecodingError) { self = try cell.text() }
}

extension Int: PostgresDecodable {
    /// From `int2`, `int4`, `int8` or `oid`.
    public init(postgres cell: PostgresCell) throws(PostgresDecodingError) {
        self = try cell.parsed(from: PostgresType.integers, "Int") { Int($0) }
    }
}

extension Int64: PostgresDecodable {
    /// From `int2`, `int4`, `int8` or `oid`.
    public init(postgres cell: PostgresCell) throws(PostgresDecodingError) {
        self = try cell.parsed(from: PostgresType.integers, "Int64") { Int64($0) }
    }
}

extension Int32: PostgresDecodable {
    /// From `int2`, `int4`, `int8` or `oid`; `invalidValue` where it does not fit.
    public init(postgres cell: PostgresCell) throws(PostgresDecodingError) {
        self = try cell.parsed(from: PostgresType.integers, "Int32") { Int32($0) }
    }
}

extension Double: PostgresDecodable {
    /// From any numeric type; `numeric` is rounded.
    public init(postgres cell: PostgresCell) throws(PostgresDecodingError) {
        self = try cell.parsed(from: PostgresType.numbers, "Double") { Double($0) }
    }
}

extension Bool: PostgresDecodable {
    /// From `bool`.
    public init(postgres cell: PostgresCell) throws(PostgresDecodingError) {
        self = try cell.parsed(from: [PostgresType.bool], "Bool") { Bool(postgresText: $0) }
    }

    fileprivate init?(postgresText text: String) {
        switch text {
        case "t": self = true
        case "f": self = false
        default: return nil
        }
    }
}

extension UUID: PostgresDecodable, PostgresEncodable {
    /// From `uuid`.
    public init(postgres cell: PostgresCell) throws(PostgresDecodingError) {
        self = try cell.parsed(from: [PostgresType.uuid], "UUID") { UUID(uuidString: $0) }
    }

    /// The text form; the server infers `uuid` from where it is used.
    public var postgresValue: PostgresValue { .text(uuidString) }
}

extension Date: PostgresDecodable, PostgresEncodable {
    /// From `timestamptz`, to the microsecond; `infinity` is an invalid value.
    public init(postgres cell: PostgresCell) throws(PostgresDecodingError) {
        let microseconds = try cell.parsed(from: [PostgresType.timestamptz], "Date") { TimestampText.parse($0) }
        self.init(timeIntervalSince1970: Double(microseconds) / 1e6)
    }

    /// A `timestamptz`, rounded to the microsecond and held to the years 1 to 9999.
    public var postgresValue: PostgresValue {
        let seconds = min(max(timeIntervalSince1970, -62_135_596_800), 253_402_300_799)
        return .timestamp(microseconds: Int64((seconds * 1e6).rounded()))
    }
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
    /// Nil for null.
    public init(postgres cell: PostgresCell) throws(PostgresDecodingError) {
        if cell.isNull { self = .none } else { self = .some(try Wrapped(postgres: cell)) }
    }
}

/// An element of an array that can be sent and read.
public protocol PostgresArrayElement: Sendable {
    /// The elements as one value.
    static func postgresArray(_ elements: [Self?]) -> PostgresValue
    /// The elements of a column. Throws as `PostgresDecodable` does.
    static func elements(of cell: PostgresCell) throws(PostgresDecodingError) -> [Self?]
}

extension Array: PostgresDecodable, PostgresEncodable where Element: PostgresArrayElement {
    /// From a one-dimensional array without nulls.
    public init(postgres cell: PostgresCell) throws(PostgresDecodingError) {
        self = try cell.withoutNulls(Element.elements(of: cell), "[\(Element.self)]")
    }

    /// An array value.
    public var postgresValue: PostgresValue { Element.postgresArray(map { $0 }) }
}

extension UInt8: PostgresArrayElement {
    /// A `bytea`; nulls cannot occur in one and are dropped.
    public static func postgresArray(_ elements: [UInt8?]) -> PostgresValue { .bytea(elements.compactMap { $0 }) }

    /// The bytes of a `bytea`.
    public static func elements(of cell: PostgresCell) throws(PostgresDecodingError) -> [UInt8?] {
        guard cell.typeID == PostgresType.bytea else {
            throw .wrongType(column: cell.columnName, typeID: cell.typeID, wanted: "[UInt8]")
        }
        let bytes = try cell.withBytes(wanted: "[UInt8]") { Hexadecimal.bytes(fromByteaText: $0) }
        guard let bytes else { throw .invalidValue(column: cell.columnName, wanted: "[UInt8]") }
        return bytes
    }
}

extension String: PostgresArrayElement {
    /// A `text[]`.
    public static func postgresArray(_ elements: [String?]) -> PostgresValue { .textArray(elements) }
    /// The text forms of the elements of any array.
    public static func elements(of cell: PostgresCell) throws(PostgresDecodingError) -> [String?] {
        try cell.elements(from: nil, "[String]") { $0 }
    }
}

extension Int: PostgresArrayElement {
    /// An `int8[]`.
    public static func postgresArray(_ elements: [Int?]) -> PostgresValue {
        .int8Array(elements.map { $0.map(Int64.init) })
    }
    /// The elements of an `int2[]`, `int4[]` or `int8[]`.
    public static func elements(of cell: PostgresCell) throws(PostgresDecodingError) -> [Int?] {
        try cell.elements(from: PostgresType.integerArrays, "[Int]") { Int($0) }
    }
}

extension Int64: PostgresArrayElement {
    /// An `int8[]`.
    public static func postgresArray(_ elements: [Int64?]) -> PostgresValue { .int8Array(elements) }
    /// The elements of an `int2[]`, `int4[]` or `int8[]`.
    public static func elements(of cell: PostgresCell) throws(PostgresDecodingError) -> [Int64?] {
        try cell.elements(from: PostgresType.integerArrays, "[Int64]") { Int64($0) }
    }
}

extension Double: PostgresArrayElement {
    /// A `float8[]`.
    public static func postgresArray(_ elements: [Double?]) -> PostgresValue { .float8Array(elements) }
    /// The elements of an array of any numeric type.
    public static func elements(of cell: PostgresCell) throws(PostgresDecodingError) -> [Double?] {
        try cell.elements(from: PostgresType.numberArrays, "[Double]") { Double($0) }
    }
}

extension Bool: PostgresArrayElement {
    /// A `bool[]`.
    public static func postgresArray(_ elements: [Bool?]) -> PostgresValue { .boolArray(elements) }
    /// The elements of a `bool[]`.
    public static func elements(of cell: PostgresCell) throws(PostgresDecodingError) -> [Bool?] {
        try cell.elements(from: [PostgresType.boolArray], "[Bool]") { Bool(postgresText: $0) }
    }
}

extension Optional: PostgresArrayElement where Wrapped: PostgresArrayElement {
    /// An array with nulls.
    public static func postgresArray(_ elements: [Wrapped??]) -> PostgresValue {
        Wrapped.postgresArray(elements.map { $0 ?? nil })
    }
    /// The elements, nulls among them.
    public static func elements(of cell: PostgresCell) throws(PostgresDecodingError) -> [Wrapped??] {
        try Wrapped.elements(of: cell).map { .some($0) }
    }
}
