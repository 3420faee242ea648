// SPDX-License-Identifier: Apache-2.0

/// Numbers between bounds, in decimal with at most 15 digits: such are in the same order when they are read in double precision.
struct AmountRange: Sendable, Equatable {
    /// Most digits of a number.
    static let digits = 15

    /// A bound of amounts without their sign.
    struct Bound: Sendable, Equatable {
        var whole = 0
        /// The digits after the point, the last not 0.
        var fraction: [UInt8] = []
        var isExclusive = false

        /// Whether it is further from 0 than another, or as far and leaves less.
        func isAbove(_ other: Bound) -> Bool {
            if whole != other.whole { return whole > other.whole }
            return fraction != other.fraction && other.fraction.lexicographicallyPrecedes(fraction)
        }

        func digit(_ place: Int) -> UInt8 { place < fraction.count ? fraction[place] : 0 }
    }

    /// Amounts of one sign.
    struct Side: Sendable, Equatable {
        let least: Bound
        let most: Bound

        /// nil where there are none.
        init?(least: Bound, most: Bound) {
            self.least = least
            self.most = most
            if least.isAbove(most) { return nil }
            if !most.isAbove(least), least.isExclusive || most.isExclusive { return nil }
        }

        /// Whole parts that numbers have.
        var wholes: ClosedRange<Int> {
            let high = most.isExclusive && most.fraction.isEmpty ? most.whole - 1 : most.whole
            return least.whole...max(least.whole, high)
        }

        /// Numbers without a point; nil for none.
        var integers: ClosedRange<Int>? {
            let low = least.isExclusive || !least.fraction.isEmpty ? least.whole + 1 : least.whole
            let high = wholes.upperBound
            return low <= high ? low...high : nil
        }
    }

    /// The sides of positive and of negative numbers; 0 is positive.
    let sides: [Side?]

    /// - Throws: the sentence that says what is wrong.
    init(low: Bound?, isLowNegative: Bool, high: Bound?, isHighNegative: Bool) throws(PatternError) {
        let widest = Bound(whole: 999_999_999_999_999), zero = Bound()
        var beyondZero = zero
        beyondZero.isExclusive = true
        let positive: Side? =
            isHighNegative ? nil : Side(least: isLowNegative ? zero : low ?? zero, most: high ?? widest)
        let negative: Side? =
            low != nil && !isLowNegative
            ? nil : Side(least: isHighNegative ? high ?? beyondZero : beyondZero, most: low ?? widest)
        sides = [positive, negative]
        guard positive != nil || negative != nil else { throw PatternError(reason: "no number is in its range") }
    }
}

/// The fraction of a number so far.
struct AmountFraction: Hashable, Sendable {
    /// Digits, and the most there may be.
    var count: Int, most: Int
    var isNegative: Bool
    /// Whether all so far is as in the lower bound, and in the upper.
    var isLeast: Bool, isMost: Bool

    /// Starts after a whole part and its point.
    init(_ whole: IntegerPrefix, in side: AmountRange.Side) {
        count = 0
        most = AmountRange.digits - whole.digits
        isNegative = whole.isNegative
        isLeast = whole.magnitude == side.least.whole
        isMost = whole.magnitude == side.most.whole
    }

    /// One with nothing said of its digits.
    init(_ whole: IntegerPrefix, least: Bool, most: Bool) {
        (count, self.most) = (0, AmountRange.digits)
        isNegative = whole.isNegative
        (isLeast, isMost) = (least, most)
    }

    /// Whether the number may end here.
    func mayEnd(in side: AmountRange.Side) -> Bool {
        if count == 0 { return false }
        if isLeast, side.least.fraction.count > count || side.least.isExclusive { return false }
        return !isMost || side.most.fraction.count > count || !side.most.isExclusive
    }

    /// The fraction with another digit, nil where no number of the side has it.
    func appending(_ digit: UInt8, in side: AmountRange.Side) -> AmountFraction? {
        guard let next = following(digit, in: side), next.completion(in: side) != nil else { return nil }
        return next
    }

    private func following(_ digit: UInt8, in side: AmountRange.Side) -> AmountFraction? {
        let low = side.least.digit(count), high = side.most.digit(count)
        guard count < most, !isLeast || digit >= low, !isMost || digit <= high else { return nil }
        var next = self
        next.count += 1
        next.isLeast = isLeast && digit == low
        next.isMost = isMost && digit == high
        return next
    }

    /// The fewest digits that end the number; nil where none do.
    func completion(in side: AmountRange.Side) -> [UInt8]? {
        if mayEnd(in: side) { return [] }
        var best: [UInt8]?
        for digit in UInt8(0)...9 {
            guard let rest = following(digit, in: side)?.completion(in: side) else { continue }
            if rest.count + 1 < best?.count ?? .max { best = [digit] + rest }
        }
        return best
    }
}

extension IntegerPrefix {
    /// The fewest bytes that make the whole part so far a number of a side.
    func completion(in side: AmountRange.Side) -> [UInt8]? {
        let plain = side.integers.flatMap { unsigned.completion(in: $0) }
        guard let whole = unsigned.completion(in: side.wholes) else { return plain }
        var end = unsigned
        for byte in whole {
            end.magnitude = end.magnitude * 10 + Int(byte - UInt8(ascii: "0"))
            end.digits += 1
        }
        guard let fraction = AmountFraction(end, in: side).completion(in: side) else { return plain }
        let broken = whole + Array(".".utf8) + fraction.map { $0 + UInt8(ascii: "0") }
        if let plain, plain.count <= broken.count { return plain }
        return broken
    }

    /// The whole part with another digit, nil where no number of the side starts so.
    func appending(_ byte: UInt8, in side: AmountRange.Side) -> IntegerPrefix? {
        guard byte != UInt8(ascii: "-"), var next = unsigned.appending(byte, in: side.wholes) else { return nil }
        next.isNegative = isNegative
        return next.completion(in: side) == nil ? nil : next
    }

    /// Whether the number may end without a point.
    func isNumber(in side: AmountRange.Side) -> Bool { side.integers.map { unsigned.isNumber(in: $0) } ?? false }

    private var unsigned: IntegerPrefix { IntegerPrefix(magnitude: magnitude, digits: digits) }
}
