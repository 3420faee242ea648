// SPDX-License-Identifier: Apache-2.0

// With `U` for `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, `L` for `[\p{Ll}\p{Lm}\p{Lo}\p{M}]` and `P` for `[^\r\n\p{L}\p{N}]`:
// `P?U*L+|P?U+L*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
extension ScalarReader {
    /// The end of the tekken match that starts at an offset.
    func tekkenWordEnd(from start: Int) -> Int {
        let (first, length) = scalar(at: start), next = start + length
        switch first {
        case .number: return next
        case .letter: return lowerEnd(from: start) ?? upperEnd(from: start) ?? next
        case .other:
            // A mark may stand before a word and in it.
            return lowerEnd(from: next) ?? lowerEnd(from: start) ?? upperEnd(from: next) ?? upperEnd(from: start)
                ?? slashesEnd(from: runEnd(of: .other, from: next))
        case .space:
            if !isNewline(at: start), let end = lowerEnd(from: next) ?? upperEnd(from: next) { return end }
            if text[start] == UInt8(ascii: " "), classIfAny(at: next) == .other {
                return slashesEnd(from: runEnd(of: .other, from: next))
            }
            let run = spaces(from: start)
            return run.newlineEnd ?? spacesEnd(run, from: start)
        }
    }

    /// The end of `U*L+`, nil where it does not match. Where no lower-case letter follows the run of `U`, it gives back what
    /// comes after its last character that is in `L` too.
    private func lowerEnd(from start: Int) -> Int? {
        var offset = start, lastOfBoth: Int?
        while offset < end, case let (found, length) = letterCase(at: offset), found.contains(.upper) {
            offset += length
            if found.contains(.lower) { lastOfBoth = offset }
        }
        let lower = runEnd(in: .lower, from: offset)
        return lower > offset ? lower : lastOfBoth
    }

    /// The end of `U+L*`, nil where it does not match.
    private func upperEnd(from start: Int) -> Int? {
        let upper = runEnd(in: .upper, from: start)
        return upper > start ? runEnd(in: .lower, from: upper) : nil
    }

    private func runEnd(in group: LetterCase, from offset: Int) -> Int {
        var offset = offset
        while offset < end, case let (found, length) = letterCase(at: offset), found.contains(group) {
            offset += length
        }
        return offset
    }

    @inline(__always)
    private func letterCase(at offset: Int) -> (LetterCase, length: Int) {
        let (value, length) = value(at: offset)
        return (LetterCase.of(value), length)
    }

    private func slashesEnd(from offset: Int) -> Int {
        var offset = offset
        while offset < end && (isNewline(at: offset) || text[offset] == UInt8(ascii: "/")) { offset += 1 }
        return offset
    }
}
