// SPDX-License-Identifier: Apache-2.0
import Glibc

// Filters of numbers.
extension Interpreter {
    /// The result of a filter of numbers, nil for any other filter.
    func filterNumber(_ name: String, _ value: Value, _ passed: CallArguments) throws(JinjaError) -> Value? {
        switch name {
        case "int": return .int(Self.integer(value, base: passed.value(1, "base")?.integer ?? 10)
            ?? passed.value(0, "default")?.integer ?? 0)
        case "float":
            let text = value.text?.stripped(\.isPythonSpace).string
            return .float(value.number ?? text.flatMap(Double.init) ?? passed.value(0, "default")?.number ?? 0)
        case "abs":
            if let integer = value.integer, integer != .min { return .int(abs(integer)) }
            guard let number = value.number else { throw fail("the filter “abs” needs a number") }
            return .float(number.magnitude)
        case "round": return try rounded(value, passed)
        case "wordcount":
            return .int(try text(of: value).string.unicodeScalars.split { !Self.isWord($0) }.count)
        default: return nil
        }
    }

    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
    }

    private static func integer(_ value: Value, base: Int) -> Int? {
        guard let text = value.text?.stripped(\.isPythonSpace).string else {
            return value.integer ?? value.number.flatMap { Int(exactly: $0.rounded(.towardZero)) }
        }
        guard (2...36).contains(base) else { return nil }
        let prefixes = [16: "0x", 8: "0o", 2: "0b"]
        let digits = prefixes[base].map { text.lowercased().hasPrefix($0) } == true ? String(text.dropFirst(2)) : text
        return Int(digits, radix: base) ?? Double(text).flatMap { Int(exactly: $0.rounded(.towardZero)) }
    }

    private func rounded(_ value: Value, _ passed: CallArguments) throws(JinjaError) -> Value {
        let precision = passed.value(0, "precision")?.integer ?? 0
        let method = passed.value(1, "method")?.text?.string ?? "common"
        guard let number = value.number, (-300...300).contains(precision) else {
            throw fail("the filter “round” needs a number")
        }
        if method == "common" {
            if let integer = value.integer, precision >= 0 { return .int(integer) }
            if precision >= 0 { return .float(Double(PythonText.number("%.\(precision)f", number)) ?? number) }
            let unit = pow(10, Double(-precision))
            return .float((number / unit).rounded(.toNearestOrEven) * unit)
        }
        guard method == "ceil" || method == "floor" else { throw fail("“round” knows common, ceil and floor") }
        let unit = pow(10, Double(precision))
        return .float((number * unit).rounded(method == "ceil" ? .up : .down) / unit)
    }
}
