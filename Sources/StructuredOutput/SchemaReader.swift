// SPDX-License-Identifier: Apache-2.0
import ModelFiles

/// Reads a JSON schema into a grammar. The grammar allows nothing that the schema does not.
///
/// Supported: `type` (also a list), `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`,
/// `minLength`, `maxLength`, `pattern`, `minItems`, `maxItems`, `minimum` and `maximum` (also exclusive), `anyOf`,
/// `oneOf` of alternatives that exclude one another, `allOf` of one schema, and `$ref` to `#`, `#/$defs/…` and `#/definitions/…`. Keywords that only describe are passed over; any other is an error.
struct SchemaReader {
    private let schema: JSONValue
    private var nodes: [Grammar.Node] = []
    /// Nodes of references already read, which may be under way.
    private var references: [String: Int] = [:]
    private var anyValue: Int?
    private var exclusion = Exclusion()

    static func grammar(of text: String) throws(SchemaError) -> Grammar {
        guard text.utf8.count <= 1 << 18 else { throw .notJSON("it has more than 256 KiB") }
        let schema: JSONValue
        do { schema = try JSONValue(json: text) } catch { throw .notJSON(error.description) }
        var reader = SchemaReader(schema: schema)
        let root = try reader.reserve()
        reader.references["#"] = root
        try reader.read(schema, into: root, path: "#")
        let nodes = reader.flattened()
        try reader.exclusion.check(nodes)
        return try Grammar(nodes: nodes, root: root)
    }

    private init(schema: JSONValue) { self.schema = schema }

    private mutating func reserve() throws(SchemaError) -> Int {
        guard nodes.count < 4096 else { throw .invalid(path: "#", "it has more than 4,096 parts") }
        nodes.append(.any([]))
        return nodes.count - 1
    }

    /// The node of a schema; without one any value will do.
    private mutating func node(_ value: JSONValue?, path: String) throws(SchemaError) -> Int {
        guard let value else { return try any() }
        if let reference = value["$ref"]?.text { return try referred(reference, path: path) }
        let index = try reserve()
        try read(value, into: index, path: path)
        return index
    }

    private mutating func add(_ node: Grammar.Node) throws(SchemaError) -> Int {
        let index = try reserve()
        nodes[index] = node
        return index
    }

    private mutating func referred(_ reference: String, path: String) throws(SchemaError) -> Int {
        if let known = references[reference] { return known }
        let parts = reference.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, parts[0] == "#", parts[1] == "$defs" || parts[1] == "definitions",
            let target = schema[parts[1]]?[parts[2]]
        else { throw .invalid(path: path, "“\(reference)” refers to nothing that is known") }
        let index = try reserve()
        references[reference] = index
        try read(target, into: index, path: reference)
        return index
    }

    /// Alternatives of alternatives become alternatives.
    private func flattened() -> [Grammar.Node] {
        nodes.map { node in
            guard case .any(let alternatives) = node else { return node }
            var seen: Set<Int> = [], open = Array(alternatives.reversed()), flat: [Int] = []
            while let next = open.popLast() {
                guard seen.insert(next).inserted else { continue }
                if case .any(let more) = nodes[next] { open += more.reversed() } else { flat.append(next) }
            }
            return .any(flat)
        }
    }

    /// Any JSON value.
    private mutating func any() throws(SchemaError) -> Int {
        if let anyValue { return anyValue }
        let index = try reserve()
        anyValue = index
        let alternatives = [
            try add(.string(least: 0, most: nil)), try add(.number), try add(.literals(Self.constants)),
            try add(.map(values: index)), try add(.array(items: index, least: 0, most: nil)),
        ]
        nodes[index] = .any(alternatives)
        return index
    }

    private static let constants = ["true", "false", "null"].map { Array($0.utf8) }
}

extension SchemaReader {
    private static let descriptions: Set<String> = [
        "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "format",
        "$schema", "$id", "$comment", "$defs", "definitions",
    ]
    private static let keywords: [String: Set<String>] = [
        "string": ["minLength", "maxLength", "pattern"],
        "integer": ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
        "number": ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], "boolean": [], "null": [],
        "object": ["properties", "required", "additionalProperties"],
        "array": ["items", "minItems", "maxItems"],
    ]

    private mutating func read(_ schema: JSONValue, into index: Int, path: String) throws(SchemaError) {
        if schema.bool == true { return nodes[index] = .any([try any()]) }
        guard let members = schema.members else { throw .invalid(path: path, "a schema must be an object") }
        let found = Set(members.map(\.key)).subtracting(Self.descriptions)
        func allow(_ names: Set<String>) throws(SchemaError) {
            if let other = found.subtracting(names).min() { throw .unsupported(path: path, keyword: other) }
        }
        if let reference = schema["$ref"] {
            try allow(["$ref"])
            guard let reference = reference.text else { throw .invalid(path: path, "$ref must be a text") }
            nodes[index] = .any([try referred(reference, path: path)])
        } else if let alternatives = schema["anyOf"] {
            try allow(["anyOf"])
            nodes[index] = .any(try list(alternatives, path: path + "/anyOf"))
        } else if let alternatives = schema["oneOf"] {
            try allow(["oneOf"])
            let list = try list(alternatives, path: path + "/oneOf")
            exclusion.groups.append((path, list))
            nodes[index] = .any(list)
        } else if let parts = schema["allOf"] {
            try allow(["allOf"])
            guard parts.elements?.count == 1 else {
                throw .unsupported(path: path, keyword: "allOf of several schemas")
            }
            nodes[index] = .any(try list(parts, path: path + "/allOf"))
        } else if let values = schema["enum"]?.elements ?? schema["const"].map({ [$0] }) {
            try allow(["enum", "const", "type"])
            nodes[index] = .literals(try literals(values, schema, path: path))
        } else if found.isEmpty {
            nodes[index] = .any([try any()])
        } else {
            let types = try types(of: schema, found, path: path)
            try allow(types.reduce(into: ["type"]) { $0.formUnion(Self.keywords[$1] ?? []) })
            var alternatives: [Int] = []
            for type in types { alternatives.append(try add(try node(of: type, schema, path: path))) }
            if schema["additionalProperties"]?.bool == false { exclusion.closed.formUnion(alternatives + [index]) }
            nodes[index] = alternatives.count == 1 ? nodes[alternatives[0]] : .any(alternatives)
        }
    }

    private mutating func list(_ values: JSONValue, path: String) throws(SchemaError) -> [Int] {
        guard let values = values.elements, !values.isEmpty, values.count <= 64 else {
            throw .invalid(path: path, "it must be a list of 1 to 64 schemas")
        }
        var list: [Int] = []
        for (place, value) in values.enumerated() { list.append(try node(value, path: "\(path)/\(place)")) }
        return list
    }

    /// The types that a schema names, or those that its keywords are about.
    private func types(of schema: JSONValue, _ found: Set<String>, path: String) throws(SchemaError) -> [String] {
        guard let type = schema["type"] else {
            let types = Self.keywords.filter { !$0.value.isDisjoint(with: found) }.map(\.key)
            guard types.count == 1 else {
                throw found.first.map { .unsupported(path: path, keyword: $0) }
                    ?? .invalid(path: path, "a type is needed")
            }
            return types
        }
        let names = type.text.map { [$0] } ?? type.elements?.compactMap(\.text) ?? []
        guard !names.isEmpty, names.allSatisfy({ Self.keywords[$0] != nil }), names.count == type.elements?.count ?? 1
        else {
            throw .invalid(path: path, "the type must be one of \(Self.keywords.keys.sorted().joined(separator: ", "))")
        }
        return names
    }

    private mutating func node(of type: String, _ schema: JSONValue, path: String) throws(SchemaError) -> Grammar.Node {
        switch type {
        case "string":
            let (least, most) = try Self.bounds(schema, "minLength", "maxLength", path: path)
            guard let pattern = schema["pattern"] else { return .string(least: least, most: most) }
            return .pattern(try Self.table(pattern, least: least, most: most, path: path))
        case "number": return try Self.amounts(schema, path: path).map(Grammar.Node.amount) ?? .number
        case "integer": return .integer(try Self.range(schema, path: path))
        case "boolean": return .literals(Array(Self.constants.prefix(2)))
        case "null": return .literals([Self.constants[2]])
        case "array":
            let (least, most) = try Self.bounds(schema, "minItems", "maxItems", path: path)
            return .array(items: try node(schema["items"], path: path + "/items"), least: least, most: most)
        default: return try object(schema, path: path)
        }
    }

    private mutating func object(_ schema: JSONValue, path: String) throws(SchemaError) -> Grammar.Node {
        var properties: [Grammar.Property] = [], names: [String] = []
        if let members = schema["properties"] {
            guard let members = members.members else { throw .invalid(path: path, "properties must be an object") }
            for member in members where !names.contains(member.key) {
                let value = try node(member.value, path: "\(path)/properties/\(member.key)")
                properties.append(Grammar.Property(key: JSONText.bytes(.string(member.key)), value: value))
                names.append(member.key)
            }
        }
        let required = schema["required"]?.elements?.map(\.text) ?? []
        guard schema["required"] == nil || schema["required"]?.elements != nil, !required.contains(nil) else {
            throw .invalid(path: path, "required must be a list of names")
        }
        let others = schema["additionalProperties"]
        if properties.isEmpty, required.isEmpty, others?.bool != false {
            return .map(values: try node(others, path: path + "/additionalProperties"))
        }
        var mask: UInt64 = 0
        for name in required.compactMap(\.self) {
            if !names.contains(name) {
                guard others?.bool != false else { throw .invalid(path: path, "“\(name)” is required but not allowed") }
                let value = try node(others, path: path + "/additionalProperties")
                properties.append(Grammar.Property(key: JSONText.bytes(.string(name)), value: value))
                names.append(name)
            }
            guard let place = names.firstIndex(of: name), place < 64 else { break }
            mask |= 1 << UInt64(place)
        }
        guard properties.count <= 64 else { throw .invalid(path: path, "an object has more than 64 properties") }
        return .object(properties, required: mask)
    }

    private func literals(_ values: [JSONValue], _ schema: JSONValue, path: String) throws(SchemaError) -> [[UInt8]] {
        var types: [String]?
        if schema["type"] != nil { types = try self.types(of: schema, [], path: path) }
        let allowed = values.filter { value in types.map { $0.contains { JSONText.is(value, $0) } } ?? true }
        guard !allowed.isEmpty, allowed.count <= 4096 else {
            throw .invalid(path: path, "enum needs 1 to 4,096 values of its type")
        }
        return Set(allowed.map(JSONText.bytes)).sorted { $0.lexicographicallyPrecedes($1) }
    }
}
