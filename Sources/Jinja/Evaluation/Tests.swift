// SPDX-License-Identifier: Apache-2.0

// What may stand after `is`.
extension Interpreter {
    func test(_ name: String, _ value: Value, _ passed: CallArguments) throws(JinjaError) -> Bool {
        if let operation = Self.comparisons[name] {
            guard let operand = passed.positional.first else { throw fail("the test “\(name)” needs a value") }
            return try compare(value, operation, operand)
        }
        switch name {
        case "defined": return !value.isUndefined
        case "undefined": return value.isUndefined
        case "none": if case .none = value { return true } else { return false }
        case "boolean": if case .bool = value { return true } else { return false }
        case "true": if case .bool(true) = value { return true } else { return false }
        case "false": if case .bool(false) = value { return true } else { return false }
        case "integer": if case .int = value { return true } else { return false }
        case "float": if case .float = value { return true } else { return false }
        case "number": return value.number != nil
        case "string": return value.text != nil
        case "mapping": if case .dictionary = value { return true } else { return false }
        case "callable": if case .function = value { return true } else { return false }
        case "iterable", "sequence": return isIterable(value, indexed: name == "sequence")
        case "lower": return TextCase.isLower(try text(of: value).string)
        case "upper": return TextCase.isUpper(try text(of: value).string)
        case "escaped": return false
        case "odd", "even", "divisibleby": return try division(name, value, passed)
        case "sameas":
            guard let other = passed.positional.first else { throw fail("the test “sameas” needs a value") }
            return value.typeName == other.typeName && value == other
        case "filter": return Self.filterNames.contains(try text(of: value).string)
        case "test": return Self.testNames.contains(try text(of: value).string)
        default: throw fail("there is no test “\(name)”")
        }
    }

    private static let comparisons: [String: Comparison] = [
        "eq": .equal, "equalto": .equal, "==": .equal, "ne": .notEqual, "!=": .notEqual, "lt": .less,
        "lessthan": .less, "<": .less, "le": .lessOrEqual, "<=": .lessOrEqual, "gt": .greater, "greaterthan": .greater,
        ">": .greater, "ge": .greaterOrEqual, ">=": .greaterOrEqual, "in": .isIn,
    ]

    static let testNames: Set<String> = Set(comparisons.keys).union([
        "defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping",
        "callable", "iterable", "sequence", "lower", "upper", "escaped", "odd", "even", "divisibleby", "sameas",
        "filter", "test",
    ])

    private func isIterable(_ value: Value, indexed: Bool) -> Bool {
        switch value {
        case .sequence(let sequence): !indexed || sequence.kind == .list || sequence.kind == .tuple
        case .text, .dictionary, .undefined: true
        default: false
        }
    }

    private func division(_ name: String, _ value: Value, _ passed: CallArguments) throws(JinjaError) -> Bool {
        guard let integer = value.integer else { throw fail("the test “\(name)” needs a whole number") }
        guard name == "divisibleby" else { return (integer & 1 == 1) == (name == "odd") }
        guard let divisor = passed.positional.first?.integer, divisor != 0 else {
            throw fail("the test “divisibleby” needs a whole number that is not 0")
        }
        return divisor == -1 || integer % divisor == 0
    }
}

/// Python's ideas of upper and lower case.
enum TextCase {
    static func isLower(_ text: String) -> Bool { isOf(text, \.isLowercase, not: \.isUppercase) }
    static func isUpper(_ text: String) -> Bool { isOf(text, \.isUppercase, not: \.isLowercase) }

    /// Whether there are cased letters, and all of one case.
    private static func isOf(
        _ text: String, _ wanted: KeyPath<Unicode.Scalar.Properties, Bool>,
        not other: KeyPath<Unicode.Scalar.Properties, Bool>
    ) -> Bool {
        var hasCase = false
        for scalar in text.unicodeScalars {
            let properties = scalar.properties
            if properties[keyPath: other] || properties.generalCategory == .titlecaseLetter { return false }
            hasCase = hasCase || properties[keyPath: wanted]
        }
        return hasCase
    }

    /// The first letter in upper case, all others in lower case.
    static func capitalized(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return text }
        return first.properties.titlecaseMapping + String(text.unicodeScalars.dropFirst()).lowercased()
    }

    /// Letters after what `isBoundary` names in title case, all others in lower case.
    static func titled(_ text: String, _ isBoundary: (Unicode.Scalar) -> Bool) -> String {
        var result = "", isStart = true
        for scalar in text.unicodeScalars {
            result += isStart ? scalar.properties.titlecaseMapping : scalar.properties.lowercaseMapping
            isStart = isBoundary(scalar)
        }
        return result
    }
}
