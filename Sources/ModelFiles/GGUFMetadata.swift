// SPDX-License-Identifier: Apache-2.0

/// The key-value part of a GGUF file. Getters check the stored type; integers of any width are read as `Int`.
///
/// For each kind there is a getter that throws where the key is absent and one, `…IfPresent`, that gives nil. Both
/// throw where the value has another type, does not fit, or is not UTF-8.
public struct GGUFMetadata: Sendable {
    private let file: MappedFile
    private let values: [String: GGUFValue]

    init(file: MappedFile, values: [String: GGUFValue]) {
        self.file = file
        self.values = values
    }

    /// All keys, in alphabetical order.
    public var keys: [String] { values.keys.sorted() }

    /// The text under a key.
    public func string(_ key: String) throws(GGUFError) -> String { try required(key, stringIfPresent(key)) }

    /// The text under a key, nil where the key is absent.
    public func stringIfPresent(_ key: String) throws(GGUFError) -> String? {
        try single(key, "a string", where: { $0 == .string }, decode: decodeString)
    }

    /// The integer under a key.
    public func int(_ key: String) throws(GGUFError) -> Int { try required(key, intIfPresent(key)) }

    /// The integer under a key, nil where the key is absent.
    public func intIfPresent(_ key: String) throws(GGUFError) -> Int? {
        try single(key, "an integer", where: \.isInteger, decode: decodeInt)
    }

    /// The number under a key, in single precision.
    public func float(_ key: String) throws(GGUFError) -> Float { try required(key, floatIfPresent(key)) }

    /// The number under a key, in single precision, nil where the key is absent.
    public func floatIfPresent(_ key: String) throws(GGUFError) -> Float? {
        try single(key, "a floating-point number", where: \.isFloat, decode: decodeFloat)
    }

    /// The truth value under a key.
    public func bool(_ key: String) throws(GGUFError) -> Bool { try required(key, boolIfPresent(key)) }

    /// The truth value under a key, nil where the key is absent.
    public func boolIfPresent(_ key: String) throws(GGUFError) -> Bool? {
        try single(key, "a truth value", where: { $0 == .bool }, decode: decodeBool)
    }

    /// The array of texts under a key.
    public func strings(_ key: String) throws(GGUFError) -> [String] { try required(key, stringsIfPresent(key)) }

    /// The array of texts under a key, nil where the key is absent.
    public func stringsIfPresent(_ key: String) throws(GGUFError) -> [String]? {
        try array(key, "an array of strings", where: { $0 == .string }, decode: decodeString)
    }

    /// The array of integers under a key.
    public func ints(_ key: String) throws(GGUFError) -> [Int] { try required(key, intsIfPresent(key)) }

    /// The array of integers under a key, nil where the key is absent.
    public func intsIfPresent(_ key: String) throws(GGUFError) -> [Int]? {
        try array(key, "an array of integers", where: \.isInteger, decode: decodeInt)
    }

    /// The array of truth values under a key, nil where the key is absent.
    public func boolsIfPresent(_ key: String) throws(GGUFError) -> [Bool]? {
        try array(key, "an array of truth values", where: { $0 == .bool }, decode: decodeBool)
    }

    /// The array of numbers under a key, in single precision.
    public func floats(_ key: String) throws(GGUFError) -> [Float] { try required(key, floatsIfPresent(key)) }

    /// The array of numbers under a key, in single precision, nil where the key is absent.
    public func floatsIfPresent(_ key: String) throws(GGUFError) -> [Float]? {
        try array(key, "an array of floating-point numbers", where: \.isFloat, decode: decodeFloat)
    }
}

extension GGUFMetadata {
    private typealias Decoder<Value> = (inout GGUFCursor, GGUFValueType, String) throws(GGUFError) -> Value

    private func required<Value>(_ key: String, _ value: Value?) throws(GGUFError) -> Value {
        guard let value else { throw GGUFError(path: file.path, reason: .missingKey(key)) }
        return value
    }

    private func wrongType(_ key: String, _ expected: String, _ found: String) -> GGUFError {
        GGUFError(path: file.path, reason: .wrongType(key: key, expected: expected, found: found))
    }

    private func single<Value>(
        _ key: String, _ expected: String, where accepts: (GGUFValueType) -> Bool, decode: Decoder<Value>
    ) throws(GGUFError) -> Value? {
        guard let value = values[key] else { return nil }
        guard value.count == nil, accepts(value.type) else { throw wrongType(key, expected, value.typeName) }
        var cursor = GGUFCursor(file: file, offset: value.offset)
        return try decode(&cursor, value.type, key)
    }

    private func array<Element>(
        _ key: String, _ expected: String, where accepts: (GGUFValueType) -> Bool, decode: Decoder<Element>
    ) throws(GGUFError) -> [Element]? {
        guard let value = values[key] else { return nil }
        guard let count = value.count, accepts(value.type) else { throw wrongType(key, expected, value.typeName) }
        var cursor = GGUFCursor(file: file, offset: value.offset)
        var elements: [Element] = []
        elements.reserveCapacity(count)
        for _ in 0..<count { elements.append(try decode(&cursor, value.type, key)) }
        return elements
    }

    private func decodeString(_ cursor: inout GGUFCursor, _: GGUFValueType, _ key: String) throws(GGUFError) -> String {
        try cursor.string("the text of the key “\(key)”")
    }

    private func decodeBool(_ cursor: inout GGUFCursor, _: GGUFValueType, _ key: String) throws(GGUFError) -> Bool {
        let raw = try cursor.integer(UInt8.self, key)
        guard raw <= 1 else { throw wrongType(key, "a truth value", "the byte \(raw)") }
        return raw == 1
    }

    private func decodeInt(_ cursor: inout GGUFCursor, _ type: GGUFValueType, _ key: String) throws(GGUFError) -> Int {
        switch type {
        case .uint8: return Int(try cursor.integer(UInt8.self, key))
        case .int8: return Int(try cursor.integer(Int8.self, key))
        case .uint16: return Int(try cursor.integer(UInt16.self, key))
        case .int16: return Int(try cursor.integer(Int16.self, key))
        case .uint32: return Int(try cursor.integer(UInt32.self, key))
        case .int32: return Int(try cursor.integer(Int32.self, key))
        case .int64: return Int(try cursor.integer(Int64.self, key))
        default:
            let raw = try cursor.integer(UInt64.self, key)
            guard let value = Int(exactly: raw) else { throw wrongType(key, "an integer below 2^63", "\(raw)") }
            return value
        }
    }

    private func decodeFloat(_ cursor: inout GGUFCursor, _ type: GGUFValueType, _ key: String) throws(GGUFError)
        -> Float
    {
        type == .float32
            ? Float(bitPattern: try cursor.integer(UInt32.self, key))
            : Float(Double(bitPattern: try cursor.integer(UInt64.self, key)))
    }
}

extension GGUFValueType {
    fileprivate var isFloat: Bool { self == .float32 || self == .float64 }
    fileprivate var isInteger: Bool { !isFloat && self != .bool && self != .string && self != .array }
}
