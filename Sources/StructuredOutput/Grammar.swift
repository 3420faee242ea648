// SPDX-License-Identifier: Apache-2.0

/// What a JSON schema allows, as nodes that name one another by index.
struct Grammar: Sendable {
    enum Node: Sendable {
        /// A text of `least` to `most` characters.
        case string(least: Int, most: Int?)
        /// A text that matches a pattern.
        case pattern(PatternTable)
        /// A number with at most 15 digits before and after its point, and no exponent.
        case number
        /// A number between bounds.
        case amount(AmountRange)
        /// A whole number.
        case integer(ClosedRange<Int>)
        /// One of some values, written out.
        case literals([[UInt8]])
        /// An object with some properties in any order, each once; bit i of `required` is for property i.
        case object([Property], required: UInt64)
        /// An object of any keys.
        case map(values: Int)
        case array(items: Int, least: Int, most: Int?)
        /// One of some nodes, none of which is of this kind.
        case any([Int])
    }

    struct Property: Sendable {
        /// The key as JSON, quotes included.
        let key: [UInt8]
        let value: Int
    }

    /// Values within one another, at most.
    static let maximumDepth = 32

    let nodes: [Node]
    let root: Int
    /// The shortest JSON of each node.
    let shortest: [[UInt8]]
    /// The values within one another in ``shortest``, 1 for a scalar.
    let heights: [Int]

    /// Finds the shortest JSON of every node.
    ///
    /// - Throws: `SchemaError.invalid` where a node has none, as when an object must hold itself.
    init(nodes: [Node], root: Int) throws(SchemaError) {
        var found: [(bytes: [UInt8], height: Int)?] = Array(repeating: nil, count: nodes.count)
        var changes = true
        while changes {
            changes = false
            for (index, node) in nodes.enumerated() {
                guard let next = Self.shortest(node, found) else { continue }
                if let known = found[index], known.bytes.count <= next.bytes.count { continue }
                found[index] = next
                changes = true
            }
        }
        guard found[root] != nil else { throw .invalid(path: "#", "no finite JSON satisfies it") }
        self.nodes = nodes
        self.root = root
        shortest = found.map { $0?.bytes ?? [] }
        // What has no finite JSON is never entered: see ``fits(_:at:)``.
        heights = found.map { $0?.height ?? Self.maximumDepth + 1 }
        guard heights[root] <= Self.maximumDepth else { throw .invalid(path: "#", "its values nest too deep") }
    }

    /// The bytes that complete texts with patterns.
    var patternBytes: [UInt8] {
        let tables = nodes.compactMap { node in if case .pattern(let table) = node { table } else { nil } }
        return tables.reduce(into: Set<UInt8>()) { $0.formUnion($1.closingBytes) }.sorted()
    }

    /// Whether a value of a node can be completed at a depth, counted from 0.
    func fits(_ node: Int, at depth: Int) -> Bool { depth + heights[node] <= Self.maximumDepth }

    private static func shortest(
        _ node: Node, _ found: [(bytes: [UInt8], height: Int)?]
    ) -> (bytes: [UInt8], height: Int)? {
        switch node {
        case .string(let least, _):
            return (Array("\"".utf8) + Array(repeating: filler, count: least) + Array("\"".utf8), 1)
        case .pattern(let table): return (Array("\"".utf8) + table.closing(of: 0) + Array("\"".utf8), 1)
        case .number: return (Array("0".utf8), 1)
        case .amount(let range): return (range.completion(of: IntegerPrefix()) ?? [], 1)
        case .integer(let range): return (IntegerPrefix().completion(in: range) ?? [], 1)
        case .literals(let texts): return texts.min { $0.count < $1.count }.map { ($0, 1) }
        case .map: return (Array("{}".utf8), 1)
        case .any(let nodes):
            return nodes.compactMap { found[$0] }.min { $0.bytes.count < $1.bytes.count }
        case .array(let items, let least, _):
            if least == 0 { return (Array("[]".utf8), 1) }
            guard let item = found[items], least * item.bytes.count < 1 << 20 else { return nil }
            let list = Array(Array(repeating: item.bytes, count: least).joined(separator: Array(",".utf8)))
            return (Array("[".utf8) + list + Array("]".utf8), item.height + 1)
        case .object(let properties, let required):
            var members: [[UInt8]] = [], height = 0
            for (index, property) in properties.enumerated() where required >> UInt64(index) & 1 == 1 {
                guard let value = found[property.value] else { return nil }
                members.append(property.key + Array(":".utf8) + value.bytes)
                height = max(height, value.height)
            }
            return (Array("{".utf8) + Array(members.joined(separator: Array(",".utf8))) + Array("}".utf8), height + 1)
        }
    }

    /// What fills texts that must be longer than there is room to write them well.
    static let filler = UInt8(ascii: ".")
}

/// The start of a whole number in decimal.
struct IntegerPrefix: Hashable, Sendable {
    var isNegative = false
    var magnitude = 0
    var digits = 0

    /// Numbers that are not bounded by a schema have at most 15 digits: every reader of JSON keeps those.
    static let widest = -999_999_999_999_999...999_999_999_999_999

    /// The magnitudes that the sign leaves of a range.
    private func magnitudes(in range: ClosedRange<Int>) -> ClosedRange<Int>? {
        let (low, high) =
            isNegative ? (max(1, -range.upperBound), -range.lowerBound) : (max(0, range.lowerBound), range.upperBound)
        return low <= high ? low...high : nil
    }

    /// Whether the number may end here.
    func isNumber(in range: ClosedRange<Int>) -> Bool {
        digits > 0 && magnitudes(in: range)?.contains(magnitude) ?? false
    }

    /// The fewest bytes that make it a number of the range; nil where none do.
    func completion(in range: ClosedRange<Int>) -> [UInt8]? {
        guard let goal = magnitudes(in: range) else {
            guard digits == 0, !isNegative else { return nil }
            return IntegerPrefix(isNegative: true).completion(in: range).map { Array("-".utf8) + $0 }
        }
        if digits == 0 {
            // The smallest magnitude is the shortest, and the sign costs a byte.
            return Array(String(goal.lowerBound).utf8)
        }
        var low = magnitude, high = magnitude, count = 0
        while low <= goal.upperBound {
            if high >= goal.lowerBound {
                let value = max(low, goal.lowerBound)
                return Array(String(value).utf8.suffix(count))
            }
            // A number that starts with 0 is 0.
            guard magnitude > 0, high < Self.widest.upperBound else { return nil }
            (low, high, count) = (low * 10, high * 10 + 9, count + 1)
        }
        return nil
    }

    /// The prefix with another byte, nil where no number of the range starts so.
    func appending(_ byte: UInt8, in range: ClosedRange<Int>) -> IntegerPrefix? {
        var next = self
        if byte == UInt8(ascii: "-"), digits == 0, !isNegative {
            next.isNegative = true
        } else {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), digits == 0 || magnitude > 0, digits < 15
            else {
                return nil
            }
            next.magnitude = magnitude * 10 + Int(byte - UInt8(ascii: "0"))
            next.digits += 1
        }
        return next.completion(in: range) == nil ? nil : next
    }
}
