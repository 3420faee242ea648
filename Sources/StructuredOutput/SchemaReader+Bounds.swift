// SPDX-License-Identifier: Apache-2.0
import ModelFiles

// What schemas say of lengths, amounts and the characters of texts.
extension SchemaReader {
    static func table(_ pattern: JSONValue, least: Int, most: Int?, path: String) throws(SchemaError) -> PatternTable {
        guard let text = pattern.text, text.utf8.count <= 4096 else {
            throw .invalid(path: path, "pattern must be a text of at most 4,096 bytes")
        }
        do throws(PatternError) {
            return try PatternTable(PatternReader.pattern(text), least: least, most: most)
        } catch {
            throw .invalid(path: path, "the pattern “\(text)” cannot be used: \(error.reason)")
        }
    }

    static func bounds(
        _ schema: JSONValue, _ least: String, _ most: String, path: String
    ) throws(SchemaError) -> (Int, Int?) {
        for key in [least, most] where schema[key] != nil {
            guard let bound = schema[key]?.int, 0...65_536 ~= bound else {
                throw .invalid(path: path, "\(key) must be a whole number from 0 to 65,536")
            }
        }
        let low = schema[least]?.int ?? 0, high = schema[most]?.int
        guard low <= high ?? low else { throw .invalid(path: path, "\(least) is above \(most)") }
        return (low, high)
    }

    static func range(_ schema: JSONValue, path: String) throws(SchemaError) -> ClosedRange<Int> {
        var low = IntegerPrefix.widest.lowerBound, high = IntegerPrefix.widest.upperBound
        for key in ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"] {
            guard let value = schema[key] else { continue }
            guard let bound = value.double, abs(bound) <= 999_999_999_999_998 else {
                throw .invalid(path: path, "\(key) must be a number of at most 15 digits")
            }
            switch key {
            case "minimum": low = max(low, Int(bound.rounded(.up)))
            case "exclusiveMinimum": low = max(low, Int(bound.rounded(.down)) + 1)
            case "maximum": high = min(high, Int(bound.rounded(.down)))
            default: high = min(high, Int(bound.rounded(.up)) - 1)
            }
        }
        guard low <= high else { throw .invalid(path: path, "no whole number is in its range") }
        return low...high
    }

    /// The numbers between a schema's bounds, nil where it has none.
    static func amounts(_ schema: JSONValue, path: String) throws(SchemaError) -> AmountRange? {
        let low = try bound(schema, "minimum", "exclusiveMinimum", path: path) { $0 > $1 }
        let high = try bound(schema, "maximum", "exclusiveMaximum", path: path) { $0 < $1 }
        if low == nil, high == nil { return nil }
        do throws(PatternError) {
            return try AmountRange(
                low: low?.bound, isLowNegative: low?.isNegative ?? true, high: high?.bound,
                isHighNegative: high?.isNegative ?? false)
        } catch {
            throw .invalid(path: path, error.reason)
        }
    }

    /// The stricter of two bounds in decimal.
    private static func bound(
        _ schema: JSONValue, _ inclusive: String, _ exclusive: String, path: String,
        isStricter: (Double, Double) -> Bool
    ) throws(SchemaError) -> (bound: AmountRange.Bound, isNegative: Bool)? {
        var found: (value: Double, isExclusive: Bool)?
        for (key, isExclusive) in [(inclusive, false), (exclusive, true)] {
            guard let value = schema[key] else { continue }
            guard let number = value.double else { throw .invalid(path: path, "\(key) must be a number") }
            if let known = found?.value, !isStricter(number, known), !(isExclusive && number == known) { continue }
            found = (number, isExclusive)
        }
        guard let (value, isExclusive) = found else { return nil }
        let parts = abs(value).description.split(separator: ".")
        guard let whole = Int(parts[0]), parts.count == 2, let digits = Int(parts[1]), digits >= 0,
            parts[0].count + parts[1].count <= 14
        else { throw .invalid(path: path, "the bound \(value) has more than 13 digits, or an exponent") }
        let fraction = parts[1] == "0" ? [] : parts[1].utf8.map { $0 - UInt8(ascii: "0") }
        // -0 is 0.
        return (AmountRange.Bound(whole: whole, fraction: fraction, isExclusive: isExclusive), value < 0)
    }
}
