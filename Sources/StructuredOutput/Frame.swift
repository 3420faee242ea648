// SPDX-License-Identifier: Apache-2.0

/// How far a value is written.
struct Frame: Hashable, Sendable {
    enum Phase: UInt8, Sendable {
        /// Nothing yet; `a` is 1 where a space may still come.
        case start
        /// In a text: `a` characters are done.
        case text, textEscape
        /// In `\u`: `b` holds the digits so far and their number (``Frame/hexadecimal``).
        case textUnicode
        /// In a character of several bytes: `b` says how many are missing and which may come next.
        case textBytes
        /// In a text with a pattern: `a` is the state of its table.
        case pattern
        /// In a number: after the sign, after a leading zero, in digits (`a` of them), after the point, in the fraction.
        case minus, zero, digits, point, fraction
        /// In a whole number: `a` and `b` are an ``IntegerPrefix``.
        case integer
        /// In a number between bounds: its whole part (as in `integer`), its fraction (``Frame/amountFraction``).
        case amount, amountFraction
        /// In a literal: `a` bytes of the b-th one, and of all that start so.
        case literal
        /// In an object: after its bracket, after a comma (`a` as in `start`), in a key, after a key, after a value.
        /// `b` are the properties not yet written; in a key `a` is how far (low 16 bits) and which property.
        case objectOpen, objectNext, objectKey, objectColon, objectValue
        /// The same in an object of any keys, whose keys are texts of their own.
        case mapOpen, mapNext, mapColon, mapValue
        /// In an array: after its bracket, after an item; `a` items are there.
        case arrayOpen, arrayItem
    }

    /// The node of the grammar that it is a value of; for keys of maps ``Frame/keyNode``.
    var node: Int32
    var phase: Phase
    var a: Int32 = 0
    var b: UInt64 = 0

    /// Stands for the keys of maps: any text.
    static let keyNode: Int32 = -1

    init(_ node: Int, _ phase: Phase, a: Int = 0, b: UInt64 = 0) {
        self.node = Int32(node)
        self.phase = phase
        self.a = Int32(a)
        self.b = b
    }

    func with(_ phase: Phase, a: Int, b: UInt64) -> Frame { Frame(Int(node), phase, a: a, b: b) }

    var integerPrefix: IntegerPrefix {
        get { IntegerPrefix(isNegative: a & 1 == 1, magnitude: Int(b), digits: Int(a >> 1)) }
        set {
            a = Int32(newValue.digits << 1 | (newValue.isNegative ? 1 : 0))
            b = UInt64(newValue.magnitude)
        }
    }

    /// The digits of a `\u` escape so far, and how many.
    var hexadecimal: (value: UInt64, count: Int) { (b >> 8, Int(b & 0xff)) }

    /// The bytes missing of a character, and the range of the next.
    var missing: (count: Int, next: ClosedRange<UInt8>) {
        (Int(b & 0xff), UInt8(truncatingIfNeeded: b >> 8)...UInt8(truncatingIfNeeded: b >> 16))
    }

    static func missing(_ count: Int, _ next: ClosedRange<UInt8>) -> UInt64 {
        UInt64(count) | UInt64(next.lowerBound) << 8 | UInt64(next.upperBound) << 16
    }
}

/// The values that a value stands in, innermost first; never changed, and shared by all states above it.
final class FrameStack: Hashable, Sendable {
    let frame: Frame
    let below: FrameStack?
    let depth: Int
    private let hash: Int

    init(_ frame: Frame, on below: FrameStack?) {
        self.frame = frame
        self.below = below
        depth = (below?.depth ?? 0) + 1
        var hasher = Hasher()
        hasher.combine(frame)
        hasher.combine(below?.hash)
        hash = hasher.finalize()
    }

    static func == (left: FrameStack, right: FrameStack) -> Bool {
        var one = left, other = right
        while one !== other {
            guard one.hash == other.hash, one.frame == other.frame, one.depth == other.depth else { return false }
            guard let next = one.below, let otherNext = other.below else {
                return one.below == nil && other.below == nil
            }
            (one, other) = (next, otherNext)
        }
        return true
    }

    func hash(into hasher: inout Hasher) { hasher.combine(hash) }
}

/// One way in which the text so far can be read: the value being written, and those around it.
struct Reading: Hashable, Sendable {
    /// nil once the whole text is written.
    var top: Frame?
    var below: FrameStack?

    /// Values within one another below the top.
    var depth: Int { below?.depth ?? 0 }

    /// The reading once the top value is done.
    var popped: Reading { Reading(top: below?.frame, below: below?.below) }

    func replacing(_ frame: Frame) -> Reading { Reading(top: frame, below: below) }

    /// The reading with a new value inside of `frame`, which takes the top's place.
    func pushing(_ value: Frame, in frame: Frame) -> Reading {
        Reading(top: value, below: FrameStack(frame, on: below))
    }
}
