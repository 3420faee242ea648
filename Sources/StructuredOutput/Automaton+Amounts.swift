// SPDX-License-Identifier: Apache-2.0

// Numbers between bounds.
extension Automaton {
    func amount(_ top: Frame, _ reading: Reading, _ byte: UInt8, _ result: inout [Reading]) {
        guard case .amount(let range) = node(top) else { return }
        // The number may be over, and the byte belong to what is around it.
        if mayEnd(top) { step(reading.popped, byte, &result) }
        var frame = top
        if top.phase == .amountFraction {
            let fraction = top.amountFraction
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), let side = range.side(fraction.isNegative),
                let next = fraction.appending(byte - UInt8(ascii: "0"), in: side)
            else { return }
            frame.amountFraction = next
            return append(reading.replacing(frame), to: &result)
        }
        let whole = top.integerPrefix
        if byte == UInt8(ascii: "."), whole.digits > 0, let side = range.side(whole.isNegative) {
            guard side.wholes.contains(whole.magnitude) else { return }
            let fraction = AmountFraction(whole, in: side)
            guard fraction.completion(in: side) != nil else { return }
            frame.phase = .amountFraction
            frame.amountFraction = fraction
            append(reading.replacing(frame), to: &result)
        } else if let next = range.appending(byte, to: whole) {
            frame.phase = .amount
            frame.integerPrefix = next
            append(reading.replacing(frame), to: &result)
        }
    }

    /// Whether a number between bounds may be over.
    func amountMayEnd(_ top: Frame, _ range: AmountRange) -> Bool {
        if top.phase == .amountFraction {
            let fraction = top.amountFraction
            return range.side(fraction.isNegative).map { fraction.mayEnd(in: $0) } ?? false
        }
        let whole = top.integerPrefix
        return range.side(whole.isNegative).map { whole.isNumber(in: $0) } ?? false
    }

    /// The bytes that end a number between bounds.
    func amountClosing(_ top: Frame, _ range: AmountRange) -> [UInt8] {
        guard top.phase == .amountFraction else { return range.completion(of: top.integerPrefix) ?? [] }
        let fraction = top.amountFraction
        let digits = range.side(fraction.isNegative).flatMap { fraction.completion(in: $0) } ?? []
        return digits.map { $0 + UInt8(ascii: "0") }
    }
}

extension AmountRange {
    func side(_ isNegative: Bool) -> Side? { sides[isNegative ? 1 : 0] }

    /// The start of a number with another byte; nil where none of the range starts so.
    func appending(_ byte: UInt8, to whole: IntegerPrefix) -> IntegerPrefix? {
        if byte == UInt8(ascii: "-"), whole == IntegerPrefix() {
            return sides[1].map { _ in IntegerPrefix(isNegative: true) }
        }
        return side(whole.isNegative).flatMap { whole.appending(byte, in: $0) }
    }

    /// The fewest bytes that complete a number; nil where none do.
    func completion(of whole: IntegerPrefix) -> [UInt8]? {
        let own = side(whole.isNegative).flatMap { whole.completion(in: $0) }
        guard whole == IntegerPrefix(), let negative = sides[1] else { return own }
        let other = IntegerPrefix(isNegative: true).completion(in: negative).map { Array("-".utf8) + $0 }
        guard let own else { return other }
        return other.map { $0.count < own.count ? $0 : own } ?? own
    }
}

extension Frame {
    /// The fraction in a number between bounds.
    var amountFraction: AmountFraction {
        get {
            var fraction = AmountFraction(
                IntegerPrefix(isNegative: b >> 8 & 1 == 1), least: b >> 9 & 1 == 1, most: b >> 10 & 1 == 1)
            fraction.count = Int(b & 0xf)
            fraction.most = Int(b >> 4 & 0xf)
            return fraction
        }
        set {
            a = 0
            b =
                UInt64(newValue.count) | UInt64(newValue.most) << 4 | (newValue.isNegative ? 1 << 8 : 0)
                | (newValue.isLeast ? 1 << 9 : 0) | (newValue.isMost ? 1 << 10 : 0)
        }
    }
}
