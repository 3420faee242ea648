// SPDX-License-Identifier: Apache-2.0
import Glibc

/// How Python writes numbers and texts.
enum PythonText {
    /// `repr` of a float: the shortest digits that give it back, with an exponent from 1e16 up and below 1e-4.
    static func float(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        if value == 0 { return value.sign == .minus ? "-0.0" : "0.0" }
        let (digits, point) = shortestDigits(value.magnitude)
        let sign = value < 0 ? "-" : ""
        if point > 16 || point < -3 {
            let exponent = point - 1
            let fraction = digits.count > 1 ? "." + digits.dropFirst() : ""
            let size = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
            return sign + digits.prefix(1) + fraction + "e" + (exponent < 0 ? "-" : "+") + size
        }
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits }
        if point >= digits.count { return sign + digits + String(repeating: "0", count: point - digits.count) + ".0" }
        return sign + digits.prefix(point) + "." + digits.dropFirst(point)
    }

    /// The shortest digits of a positive number, and where its point stands after them: 0.d₁d₂… × 10^point.
    private static func shortestDigits(_ value: Double) -> (String, Int) {
        let parts = "\(value)".split(separator: "e")
        let exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
        let halves = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let all = halves[0] + (halves.count > 1 ? halves[1] : "")
        let leading = all.prefix { $0 == "0" }.count
        var digits = String(all.dropFirst(leading))
        while digits.count > 1, digits.hasSuffix("0") { digits.removeLast() }
        return (digits, halves[0].count + exponent - leading)
    }

    /// `repr` of a text.
    static func quoted(_ text: String) -> String {
        let quote: Unicode.Scalar = text.unicodeScalars.contains("'") && !text.unicodeScalars.contains("\"") ? "\"" : "'"
        var result = String(quote)
        for scalar in text.unicodeScalars {
            switch scalar {
            case quote, "\\": result += "\\" + String(scalar)
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default: result += isPrintable(scalar) ? String(scalar) : escaped(scalar)
            }
        }
        return result + String(quote)
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return scalar.value >= 32 && scalar.value < 127 }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default: return true
        }
    }

    private static func escaped(_ scalar: Unicode.Scalar) -> String {
        if scalar.value < 0x100 { return "\\x" + hexadecimal(scalar.value, 2) }
        if scalar.value < 0x10000 { return "\\u" + hexadecimal(scalar.value, 4) }
        return "\\U" + hexadecimal(scalar.value, 8)
    }

    static func hexadecimal(_ value: UInt32, _ width: Int) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// A text as `json.dumps` writes it.
    static func json(_ text: String, isASCII: Bool) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{8}": result += "\\b"
            case "\u{c}": result += "\\f"
            case _ where scalar.value < 0x20 || isASCII && scalar.value > 0x7e:
                for unit in String(scalar).utf16 { result += "\\u" + hexadecimal(UInt32(unit), 4) }
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// A number by one of C's conversions, such as `%.2f`, which round as Python's do.
    static func number(_ format: String, _ value: any CVarArg) -> String {
        withVaList([value]) { arguments in
            var bytes = [CChar](repeating: 0, count: 512)
            let count = Int(vsnprintf(&bytes, bytes.count, format, arguments))
            return String(decoding: bytes.prefix(min(count, bytes.count - 1)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }
}
