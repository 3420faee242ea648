// SPDX-License-Identifier: Apache-2.0

/// A parameter of a statement, or a column of a row that is copied in.
///
/// Values travel beside the SQL, never inside it. Numbers, Booleans, byte strings and arrays carry their type; text and
/// null leave it to the server to infer, so that a `.text` also fits `jsonb`, `uuid`, `timestamptz` and enum columns.
public enum PostgresValue: Sendable, Hashable {
    case null
    case text(String)
    case int4(Int32)
    case int8(Int64)
    case float8(Double)
    case bool(Bool)
    case bytea([UInt8])
    /// A point in time in microseconds since 1970-01-01 00:00 UTC (`timestamptz`).
    case timestamp(microseconds: Int64)
    case textArray([String?])
    case int8Array([Int64?])
    case float8Array([Double?])
    case boolArray([Bool?])

    /// The object id of the declared type; 0 lets the server infer it.
    var typeID: UInt32 {
        switch self {
        case .null, .text: PostgresType.unspecified
        case .int4: PostgresType.int4
        case .int8: PostgresType.int8
        case .float8: PostgresType.float8
        case .bool: PostgresType.bool
        case .bytea: PostgresType.bytea
        case .timestamp: PostgresType.timestamptz
        case .textArray: PostgresType.textArray
        case .int8Array: PostgresType.int8Array
        case .float8Array: PostgresType.float8Array
        case .boolArray: PostgresType.boolArray
        }
    }

    /// The value in PostgreSQL's text form, or nil for null.
    var textForm: String? {
        switch self {
        case .null: nil
        case .text(let text): text
        case .int4(let number): String(number)
        case .int8(let number): String(number)
        case .float8(let number): String(number)
        case .bool(let flag): flag ? "t" : "f"
        case .bytea(let bytes): Hexadecimal.byteaText(bytes)
        case .timestamp(let microseconds): TimestampText.format(microseconds: microseconds)
        case .textArray(let elements): ArrayText.format(elements)
        case .int8Array(let elements): ArrayText.format(elements.map { $0.map { String($0) } })
        case .float8Array(let elements): ArrayText.format(elements.map { $0.map { String($0) } })
        case .boolArray(let elements): ArrayText.format(elements.map { $0.map { $0 ? "t" : "f" } })
        }
    }
}

/// Something that can be sent to PostgreSQL as a parameter.
public protocol PostgresEncodable: Sendable {
    /// The value as it is sent.
    var postgresValue: PostgresValue { get }
}

extension PostgresValue: PostgresEncodable {
    /// The value itself.
    public var postgresValue: PostgresValue { self }
}

extension PostgresValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByNilLiteral
{
    /// A text value.
    public init(stringLiteral value: String) { self = .text(value) }
    /// An eight-byte integer.
    public init(integerLiteral value: Int64) { self = .int8(value) }
    /// A double-precision number.
    public init(floatLiteral value: Double) { self = .float8(value) }
    /// A Boolean.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// Null.
    public init(nilLiteral: ()) { self = .null }
}

extension String: PostgresEncodable {
    /// Text whose type the server infers.
    public var postgresValue: PostgresValue { .text(self) }
}

extension Int: PostgresEncodable {
    /// An eight-byte integer.
    public var postgresValue: PostgresValue { .int8(Int64(self)) }
}

extension Int64: PostgresEncodable {
    /// An eight-byte integer.
    public var postgresValue: PostgresValue { .int8(self) }
}

extension Int32: PostgresEncodable {
    /// A four-byte integer.
    public var postgresValue: PostgresValue { .int4(self) }
}

extension Double: PostgresEncodable {
    /// A double-precision number.
    public var postgresValue: PostgresValue { .float8(self) }
}

extension Bool: PostgresEncodable {
    /// A Boolean.
    public var postgresValue: PostgresValue { .bool(self) }
}

extension Optional: PostgresEncodable where Wrapped: PostgresEncodable {
    /// The wrapped value, or null.
    public var postgresValue: PostgresValue { map(\.postgresValue) ?? .null }
}

/// Object ids of built-in types (`pg_type.dat` of the server).
enum PostgresType {
    static let unspecified: UInt32 = 0
    static let bool: UInt32 = 16
    static let bytea: UInt32 = 17
    static let int8: UInt32 = 20
    static let int2: UInt32 = 21
    static let int4: UInt32 = 23
    static let oid: UInt32 = 26
    static let float4: UInt32 = 700
    static let float8: UInt32 = 701
    static let timestamptz: UInt32 = 1184
    static let numeric: UInt32 = 1700
    static let uuid: UInt32 = 2950

    static let boolArray: UInt32 = 1000
    static let int2Array: UInt32 = 1005
    static let int4Array: UInt32 = 1007
    static let textArray: UInt32 = 1009
    static let int8Array: UInt32 = 1016
    static let float4Array: UInt32 = 1021
    static let float8Array: UInt32 = 1022
    static let numericArray: UInt32 = 1231

    static let integers: Set<UInt32> = [int2, int4, int8, oid]
    static let numbers: Set<UInt32> = [int2, int4, int8, oid, float4, float8, numeric]
    static let integerArrays: Set<UInt32> = [int2Array, int4Array, int8Array]
    static let numberArrays: Set<UInt32> = [
        int2Array, int4Array, int8Array, float4Array, float8Array, numericArray,
    ]
}
