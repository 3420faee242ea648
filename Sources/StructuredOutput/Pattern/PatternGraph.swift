// SPDX-License-Identifier: Apache-2.0

/// A pattern as a nondeterministic automaton over the bytes of a JSON text, between its quotes (Thompson's construction).
/// Characters that JSON must escape come as their short escapes; other control characters do not come.
struct PatternGraph {
    struct Edge {
        let bytes: ClosedRange<UInt8>
        let target: Int
        /// Whether a character is complete after it.
        let endsCharacter: Bool
    }

    private(set) var edges: [[Edge]] = [[]]
    private(set) var jumps: [[Int]] = [[]]
    private(set) var end = 0

    private static let mostStates = 20_000

    init(_ pattern: Pattern) throws(PatternError) { end = try add(pattern, from: 0) }

    private mutating func state() throws(PatternError) -> Int {
        guard edges.count < Self.mostStates else { throw PatternError(reason: "it is too large") }
        edges.append([])
        jumps.append([])
        return edges.count - 1
    }

    /// Adds what leads over a pattern from a state.
    ///
    /// - Returns: The state after it.
    private mutating func add(_ pattern: Pattern, from start: Int) throws(PatternError) -> Int {
        switch pattern {
        case .set(let set):
            let end = try state()
            for range in set.ranges { try add(range, from: start, to: end) }
            return end
        case .sequence(let parts):
            var place = start
            for part in parts { place = try add(part, from: place) }
            return place
        case .choice(let parts):
            let end = try state()
            for part in parts {
                let first = try state()
                jumps[start].append(first)
                let last = try add(part, from: first)
                jumps[last].append(end)
            }
            return end
        case .repeated(let part, let least, let most):
            var place = start
            for _ in 0..<least { place = try add(part, from: place) }
            guard let most else { return try loop(part, from: place) }
            let end = try state()
            for _ in least..<max(least, most) {
                jumps[place].append(end)
                place = try add(part, from: place)
            }
            jumps[place].append(end)
            return end
        }
    }

    private mutating func loop(_ part: Pattern, from start: Int) throws(PatternError) -> Int {
        let first = try state(), end = try state()
        jumps[start].append(first)
        jumps[first].append(end)
        let last = try add(part, from: first)
        jumps[last].append(first)
        return end
    }

    private static let escapes: [UInt32: Unicode.Scalar] = [
        0x22: "\"", 0x5c: "\\", 0x08: "b", 0x0c: "f", 0x0a: "n", 0x0d: "r", 0x09: "t",
    ]

    /// Adds the characters of a range.
    private mutating func add(_ range: ClosedRange<UInt32>, from start: Int, to end: Int) throws(PatternError) {
        for (value, letter) in Self.escapes where range.contains(value) {
            let middle = try state()
            edges[start].append(Edge(bytes: 0x5c...0x5c, target: middle, endsCharacter: false))
            let byte = UInt8(ascii: letter)
            edges[middle].append(Edge(bytes: byte...byte, target: end, endsCharacter: true))
        }
        // Stretches whose characters have as many bytes and need no escape.
        for stretch: ClosedRange<UInt32> in [
            0x20...0x21, 0x23...0x5b, 0x5d...0x7f, 0x80...0x7ff, 0x800...0xd7ff, 0xe000...0xffff, 0x10000...0x10ffff,
        ] where stretch.overlaps(range) {
            let part = range.clamped(to: stretch)
            try add(bytes(part.lowerBound)[...], bytes(part.upperBound)[...], from: start, to: end)
        }
    }

    private func bytes(_ value: UInt32) -> [UInt8] {
        Unicode.Scalar(value).map { Array(String($0).utf8) } ?? []
    }

    /// Adds the sequences from one to another of the same length, in the order of their bytes.
    private mutating func add(
        _ low: ArraySlice<UInt8>, _ high: ArraySlice<UInt8>, from start: Int, to end: Int
    ) throws(PatternError) {
        guard let first = low.first, let last = high.first else { return }
        guard low.count > 1 else {
            return edges[start].append(Edge(bytes: first...last, target: end, endsCharacter: true))
        }
        let restLow = low.dropFirst(), restHigh = high.dropFirst(), count = restLow.count
        if first == last { return try follow(first...last, restLow, restHigh, from: start, to: end) }
        let lowest = Array(repeating: UInt8(0x80), count: count)[...],
            highest = Array(repeating: UInt8(0xbf), count: count)[...]
        var (middleFirst, middleLast) = (Int(first), Int(last))
        if restLow != lowest {
            try follow(first...first, restLow, highest, from: start, to: end)
            middleFirst += 1
        }
        if restHigh != highest {
            try follow(last...last, lowest, restHigh, from: start, to: end)
            middleLast -= 1
        }
        if middleFirst <= middleLast {
            try follow(UInt8(middleFirst)...UInt8(middleLast), lowest, highest, from: start, to: end)
        }
    }

    private mutating func follow(
        _ bytes: ClosedRange<UInt8>, _ low: ArraySlice<UInt8>, _ high: ArraySlice<UInt8>, from start: Int, to end: Int
    ) throws(PatternError) {
        let middle = try state()
        edges[start].append(Edge(bytes: bytes, target: middle, endsCharacter: false))
        try add(low, high, from: middle, to: end)
    }
}
