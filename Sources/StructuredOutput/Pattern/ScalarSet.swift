// SPDX-License-Identifier: Apache-2.0

/// A set of Unicode scalars as ranges in order, none touching another.
struct ScalarSet: Equatable, Sendable {
    private(set) var ranges: [ClosedRange<UInt32>] = []

    static let all = ScalarSet([0...0xd7ff, 0xe000...0x10ffff])

    init(_ ranges: [ClosedRange<UInt32>]) {
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = self.ranges.last, range.lowerBound <= last.upperBound + 1 {
                self.ranges[self.ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                self.ranges.append(range)
            }
        }
    }

    init(_ scalar: Unicode.Scalar) { self.init([scalar.value...scalar.value]) }

    func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(ranges + other.ranges) }

    /// All scalars that are not in the set.
    var complement: ScalarSet {
        var found: [ClosedRange<UInt32>] = []
        for whole in Self.all.ranges {
            var next = whole.lowerBound
            for range in ranges where range.upperBound >= next && range.lowerBound <= whole.upperBound {
                if range.lowerBound > next { found.append(next...range.lowerBound - 1) }
                next = range.upperBound + 1
            }
            if next <= whole.upperBound { found.append(next...whole.upperBound) }
        }
        return ScalarSet(found)
    }
}

/// A class of characters of which readers of expressions have different ideas: what all of them count in, and what any does.
struct ScalarGroup: Sendable {
    let certain: ScalarSet
    let possible: ScalarSet

    static let digits = ScalarGroup(certain: ScalarSet([0x30...0x39])) { $0.generalCategory == .decimalNumber }
    static let words = ScalarGroup(certain: ScalarSet([0x30...0x39, 0x41...0x5a, 0x5f...0x5f, 0x61...0x7a])) {
        $0.isAlphabetic || $0.numericType != nil || $0.generalCategory == .letterNumber
    }
    static let spaces = ScalarGroup(certain: ScalarSet([0x09...0x0d, 0x20...0x20])) { $0.isWhitespace }

    private init(certain: ScalarSet, _ mayBeIn: (Unicode.Scalar.Properties) -> Bool) {
        self.certain = certain
        // Python counts these among spaces, JavaScript the last.
        var more: [ClosedRange<UInt32>] = certain.ranges.contains(0x09...0x0d) ? [0x1c...0x1f, 0xfeff...0xfeff] : []
        for range in ScalarSet.all.ranges {
            for value in range {
                if let scalar = Unicode.Scalar(value), mayBeIn(scalar.properties) { more.append(value...value) }
            }
        }
        possible = certain.union(ScalarSet(more))
    }
}
