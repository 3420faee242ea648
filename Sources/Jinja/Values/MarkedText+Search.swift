// SPDX-License-Identifier: Apache-2.0

extension MarkedText {
    /// Where each scalar starts, and the end.
    var scalarOffsets: [Int] {
        bytes.indices.filter { bytes[$0] & 0xc0 != 0x80 } + [bytes.count]
    }

    /// The scalars as texts.
    var scalars: [MarkedText] {
        let offsets = scalarOffsets
        return zip(offsets, offsets.dropFirst()).map { self[$0..<$1] }
    }

    /// Where a text first occurs at or after an offset. Linear time (Knuth, Morris and Pratt, 1977).
    func firstOffset(of needle: MarkedText, from start: Int = 0) -> Int? {
        guard bytes.count - start >= needle.bytes.count else { return nil }
        guard let first = needle.bytes.first else { return start }
        guard needle.bytes.count > 1 else { return bytes[start...].firstIndex(of: first) }
        let borders = needle.borders
        return bytes.withUnsafeBufferPointer { hay in
            needle.bytes.withUnsafeBufferPointer { needle in
                var matched = 0
                for place in start..<hay.count {
                    while matched > 0, hay[place] != needle[matched] { matched = borders[matched - 1] }
                    if hay[place] == needle[matched] { matched += 1 }
                    if matched == needle.count { return place - matched + 1 }
                }
                return nil
            }
        }
    }

    /// For each prefix, the length of the longest shorter prefix that also ends it.
    private var borders: [Int] {
        var borders = [Int](repeating: 0, count: bytes.count), length = 0
        for place in 1..<bytes.count {
            while length > 0, bytes[place] != bytes[length] { length = borders[length - 1] }
            if bytes[place] == bytes[length] { length += 1 }
            borders[place] = length
        }
        return borders
    }

    /// Where a text last occurs and ends at or before an offset. Linear time.
    func lastOffset(of needle: MarkedText, upTo end: Int) -> Int? {
        let hay = MarkedText(bytes[..<end].reversed()), reversed = MarkedText(needle.bytes.reversed())
        return hay.firstOffset(of: reversed).map { end - $0 - needle.bytes.count }
    }

    /// Removes scalars at the ends that `isRemoved` names.
    func stripped(left: Bool = true, right: Bool = true, _ isRemoved: (Unicode.Scalar) -> Bool) -> MarkedText {
        var start = 0, end = bytes.count
        while left, start < end, let scalar = scalar(at: start), isRemoved(scalar) { start += UTF8.width(scalar) }
        while right, start < end {
            var first = end - 1
            while first > start, bytes[first] & 0xc0 == 0x80 { first -= 1 }
            guard let scalar = scalar(at: first), isRemoved(scalar) else { break }
            end = first
        }
        return self[start..<end]
    }

    private func scalar(at offset: Int) -> Unicode.Scalar? {
        let end = min(offset + 4, bytes.count)
        return String(decoding: bytes[offset..<end], as: UTF8.self).unicodeScalars.first
    }

    /// The parts between occurrences of a separator that is not empty, at most `limit` cuts from the left.
    func split(by separator: MarkedText, limit: Int) -> [MarkedText] {
        var parts: [MarkedText] = [], start = 0
        while parts.count < limit, let found = firstOffset(of: separator, from: start) {
            parts.append(self[start..<found])
            start = found + separator.bytes.count
        }
        return parts + [self[start..<bytes.count]]
    }

    /// The same with cuts from the right.
    func splitFromRight(by separator: MarkedText, limit: Int) -> [MarkedText] {
        let hay = MarkedText(bytes.reversed()), needle = MarkedText(separator.bytes.reversed()), count = bytes.count
        var parts: [MarkedText] = [], start = 0
        while parts.count < limit, let found = hay.firstOffset(of: needle, from: start) {
            parts.append(self[count - found..<count - start])
            start = found + needle.bytes.count
        }
        return (parts + [self[0..<count - start]]).reversed()
    }

    /// The runs between white space, at most `limit` cuts from the left; what remains keeps its inner space.
    func words(limit: Int) -> [MarkedText] {
        var words: [MarkedText] = [], start: Int?, offset = 0
        for scalar in string.unicodeScalars {
            if scalar.isPythonSpace, let first = start {
                words.append(self[first..<offset])
                start = nil
            } else if !scalar.isPythonSpace, start == nil {
                start = offset
                if words.count == limit { break }
            }
            offset += UTF8.width(scalar)
        }
        guard let start else { return words }
        return words + [self[start..<bytes.count].stripped(left: false, \.isPythonSpace)]
    }

    /// The same with cuts from the right.
    func wordsFromRight(limit: Int) -> [MarkedText] {
        let all = words(limit: .max)
        guard all.count > limit else { return all }
        // What remains on the left keeps its inner space, so it is cut from the text, not put together.
        var rest = stripped(\.isPythonSpace)
        for word in all.suffix(limit).reversed() {
            rest = rest[0..<rest.bytes.count - word.bytes.count].stripped(left: false, \.isPythonSpace)
        }
        return [rest] + all.suffix(limit)
    }

    /// The text with `new` in place of the first `limit` occurrences of `old`.
    func replacing(_ old: MarkedText, with new: MarkedText, limit: Int) -> MarkedText {
        guard !old.isEmpty else {
            var text = MarkedText(), left = limit
            for scalar in scalars + [MarkedText()] {
                if left > 0 { text.append(new) }
                left -= 1
                text.append(scalar)
            }
            return text
        }
        return Self.joined(split(by: old, limit: limit), by: new)
    }

    static func joined(_ parts: [MarkedText], by separator: MarkedText) -> MarkedText {
        var text = MarkedText()
        for (index, part) in parts.enumerated() {
            if index > 0, !separator.isEmpty { text.append(separator) }
            text.append(part)
        }
        return text
    }
}

extension Unicode.Scalar {
    /// What Python's `str.isspace` and `\s` take for white space.
    var isPythonSpace: Bool {
        switch value {
        case 9...13, 28...32, 0x85, 0xa0, 0x1680, 0x2000...0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000: true
        default: false
        }
    }
}

extension UTF8 {
    static func width(_ scalar: Unicode.Scalar) -> Int { scalar.utf8.count }
}
