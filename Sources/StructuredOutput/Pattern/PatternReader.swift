// SPDX-License-Identifier: Apache-2.0

/// A regular expression.
indirect enum Pattern: Sendable {
    case set(ScalarSet)
    case sequence([Pattern])
    case choice([Pattern])
    case repeated(Pattern, least: Int, most: Int?)

    static let anything = Pattern.repeated(.set(.all), least: 0, most: nil)
}

/// Why an expression cannot be used.
struct PatternError: Error {
    let reason: String
}

/// Reads regular expressions of JSON Schema (ECMA-262) that are regular: no assertions but `^` and `$` at the ends of the whole's
/// alternatives, no references. Where JavaScript's and Python's readings differ, what is read allows only what both do.
struct PatternReader {
    private let scalars: [Unicode.Scalar]
    private var place = 0
    private var depth = 0

    /// The texts in which the expression is found somewhere.
    static func pattern(_ text: String) throws(PatternError) -> Pattern {
        var reader = PatternReader(scalars: Array(text.unicodeScalars))
        let pattern = try reader.alternatives(isWhole: true)
        guard reader.place == reader.scalars.count else {
            throw reader.error("a bracket is closed that was not opened")
        }
        return pattern
    }

    private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

    private func error(_ reason: String) -> PatternError { PatternError(reason: "\(reason) at character \(place + 1)") }

    private var next: Unicode.Scalar? { place < scalars.count ? scalars[place] : nil }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard next == scalar else { return false }
        place += 1
        return true
    }

    private mutating func alternatives(isWhole: Bool) throws(PatternError) -> Pattern {
        var found = [try alternative(isWhole: isWhole)]
        while take("|") { found.append(try alternative(isWhole: isWhole)) }
        return found.count == 1 ? found[0] : .choice(found)
    }

    private mutating func alternative(isWhole: Bool) throws(PatternError) -> Pattern {
        let isAnchored = isWhole && take("^")
        var parts: [Pattern] = isWhole && !isAnchored ? [.anything] : [], endsHere = false
        while let scalar = next, scalar != "|", scalar != ")" {
            if isWhole, scalar == "$", place + 1 == scalars.count || scalars[place + 1] == "|" {
                place += 1
                endsHere = true
                break
            }
            parts.append(try quantified(try atom()))
        }
        return .sequence(isWhole && !endsHere ? parts + [.anything] : parts)
    }

    private mutating func quantified(_ atom: Pattern) throws(PatternError) -> Pattern {
        let bounds: (Int, Int?)
        switch next {
        case "*": bounds = (0, nil)
        case "+": bounds = (1, nil)
        case "?": bounds = (0, 1)
        case "{":
            guard let counted = try counts() else { return atom }
            bounds = counted
        default: return atom
        }
        place += 1
        // Which of several matches is taken does not matter.
        _ = take("?")
        if let next, "*+?".unicodeScalars.contains(next) { throw error("there is nothing to repeat") }
        return .repeated(atom, least: bounds.0, most: bounds.1)
    }

    /// `{2}`, `{2,}` or `{2,5}`, up to its bracket; nil where a bracket is only a bracket.
    private mutating func counts() throws(PatternError) -> (Int, Int?)? {
        guard let end = scalars[place...].firstIndex(of: "}") else { return nil }
        let text = String(String.UnicodeScalarView(scalars[(place + 1)..<end]))
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard !text.isEmpty, parts.count <= 2, parts.allSatisfy({ $0.utf8.allSatisfy(digits.contains) }) else {
            return nil
        }
        // Without its first number it is a count to Python and a text to JavaScript.
        guard let least = Int(parts[0]),
            let most = parts.count == 1 ? least : Int(parts[1]) ?? (parts[1].isEmpty ? .max : nil)
        else { throw error("the counts {\(text)} cannot be used") }
        guard 0...1000 ~= least, most == .max || least...1000 ~= most else {
            throw error("the counts \(text) are not in order and at most 1,000")
        }
        place = end
        return (least, most == .max ? nil : most)
    }

    private mutating func atom() throws(PatternError) -> Pattern {
        guard let scalar = next else { throw error("something is missing") }
        place += 1
        switch scalar {
        case ".":
            return .set(ScalarSet([0x0a...0x0a, 0x0d...0x0d, 0x2028...0x2029]).complement)
        case "[": return .set(try set())
        case "(": return try group()
        case "\\": return .set(try escape(isInSet: false).certain)
        case "*", "+", "?": throw error("there is nothing to repeat")
        case "^", "$": throw error("“\(scalar)” can only stand at an end")
        default: return .set(ScalarSet(scalar))
        }
    }

    private mutating func group() throws(PatternError) -> Pattern {
        if take("?") {
            if take("<"), next != "=", next != "!" {
                while let scalar = next, scalar != ">" { place += 1 }
                guard take(">") else { throw error("a group's name is not ended") }
            } else {
                guard take(":") else { throw error("looking ahead or behind is not supported") }
            }
        }
        depth += 1
        guard depth <= 100 else { throw error("groups nest too deep") }
        let inner = try alternatives(isWhole: false)
        guard take(")") else { throw error("a group is not closed") }
        depth -= 1
        return inner
    }

    /// After the bracket of a set, up to its end.
    private mutating func set() throws(PatternError) -> ScalarSet {
        let isNegated = take("^")
        var certain = ScalarSet([]), possible = ScalarSet([])
        while !take("]") {
            guard next != nil else { throw error("a set is not closed") }
            let first = try member()
            guard next == "-", place + 1 < scalars.count, scalars[place + 1] != "]" else {
                certain = certain.union(first.certain)
                possible = possible.union(first.possible)
                continue
            }
            place += 1
            let last = try member()
            guard let low = first.single, let high = last.single, low <= high else {
                throw error("a range in a set is not one from a lower to a higher character")
            }
            let range = ScalarSet([low...high])
            certain = certain.union(range)
            possible = possible.union(range)
        }
        return isNegated ? possible.complement : certain
    }

    private typealias Characters = (certain: ScalarSet, possible: ScalarSet, single: UInt32?)

    private mutating func member() throws(PatternError) -> Characters {
        guard let scalar = next else { throw error("a set is not closed") }
        place += 1
        return scalar == "\\" ? try escape(isInSet: true) : Self.one(scalar)
    }

    private static func one(_ scalar: Unicode.Scalar) -> Characters {
        (ScalarSet(scalar), ScalarSet(scalar), scalar.value)
    }

    /// After a backslash.
    private mutating func escape(isInSet: Bool) throws(PatternError) -> Characters {
        guard let scalar = next else { throw error("something is missing") }
        place += 1
        let groups: [Unicode.Scalar: ScalarGroup] = ["d": .digits, "w": .words, "s": .spaces]
        if let group = groups[scalar] { return (group.certain, group.possible, nil) }
        if let lower = scalar.properties.lowercaseMapping.unicodeScalars.first, lower != scalar,
            let group = groups[lower]
        {
            return (group.possible.complement, group.certain.complement, nil)
        }
        switch scalar {
        case "n": return Self.one("\n")
        case "r": return Self.one("\r")
        case "t": return Self.one("\t")
        case "f": return Self.one("\u{c}")
        case "v": return Self.one("\u{b}")
        case "b" where isInSet: return Self.one("\u{8}")
        case "x": return Self.one(try hexadecimal(2))
        case "u": return Self.one(try hexadecimal(4))
        case "0"..."9", "a"..."z", "A"..."Z": throw error("“\\\(scalar)” is not supported")
        default: return Self.one(scalar)
        }
    }

    private mutating func hexadecimal(_ count: Int) throws(PatternError) -> Unicode.Scalar {
        let digits = String(String.UnicodeScalarView(scalars[place...].prefix(count)))
        guard digits.utf8.count == count, digits.first != "+", let value = UInt32(digits, radix: 16),
            let scalar = Unicode.Scalar(value)
        else {
            throw error("“\(digits)” is not a character's number")
        }
        place += count
        return scalar
    }
}
