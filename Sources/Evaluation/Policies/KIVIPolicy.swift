// SPDX-License-Identifier: Apache-2.0
import Kernels

/// Keys quantised by channel over groups of 32 tokens, values by token in groups of 32 channels, asymmetrically (Liu et al.,
/// KIVI, arXiv 2402.02750, section 3.3), each group with an f16 minimum and an f16 step. The tokens at both ends, and those
/// that fill no group, stay in f16.
///
/// Keys are quantised before rotation, as all policies here keep them; KIVI does it after.
public struct KIVIPolicy: CachePolicy {
    /// Values of a group.
    public static let group = 32

    /// Bits of a code.
    public let bits: Int
    private let ends = ExactEnds()

    /// A policy with codes of 1 to 8 bits.
    public init(bits: Int) {
        precondition((1...8).contains(bits), "codes have 1 to 8 bits")
        self.bits = bits
    }

    /// Such as `kivi-int4`.
    public var name: String { "kivi-int\(bits)" }

    /// Rounds keys by channel and values by token.
    public func compress(_ history: History) -> CompressedHistory {
        let shape = history.shape, middle = ends.middle(of: history.count, group: Self.group)
        let exact = shape.exactBytes(tokens: history.count - middle.count)
        let bytes = CacheBytes(memory: shape.layers * layerBytes(shape, tokens: middle.count) + exact)
        return CompressedHistory(bytes: bytes) { [bits] _, rows in
            for row in 0..<rows.rows where !middle.contains(row) { Rounding.toHalf(rows[row: row]) }
            for row in middle {
                let values = rows[row: row]
                for first in stride(from: shape.keyWidth, to: shape.rowWidth, by: Self.group) {
                    let count = min(Self.group, shape.rowWidth - first)
                    AsymmetricGroup.round(
                        values.baseAddress.unsafelyUnwrapped + first, count: count, stride: 1, bits: bits)
                }
            }
            for first in stride(from: middle.lowerBound, to: middle.upperBound, by: Self.group) {
                for channel in 0..<shape.keyWidth {
                    AsymmetricGroup.round(
                        rows.base + first * rows.stride + channel, count: Self.group, stride: rows.stride, bits: bits)
                }
            }
        }
    }

    private func layerBytes(_ shape: CacheShape, tokens: Int) -> Int {
        let keyGroups = tokens / Self.group * shape.keyWidth
        let valueGroups = tokens * ((shape.keyWidth + Self.group - 1) / Self.group)
        let valueCodes = tokens * ((shape.keyWidth * bits + 7) / 8)
        return keyGroups * (Self.group * bits / 8) + valueCodes + (keyGroups + valueGroups) * 4
    }
}

/// A group of values as codes from 0 to 2^bits - 1: `value ≈ minimum + code · step`, minimum and step in f16.
enum AsymmetricGroup {
    /// Rounds values, `stride` elements apart, to what the codes stand for.
    static func round(_ values: UnsafeMutablePointer<Float>, count: Int, stride: Int, bits: Int) {
        var low = values[0], high = values[0]
        for i in 1..<count {
            low = min(low, values[i * stride])
            high = max(high, values[i * stride])
        }
        let levels = Float((1 << bits) - 1)
        let minimum = Rounding.toHalf(low)
        let step = Rounding.toHalf((high - minimum) / levels)
        let inverse = step > 0 ? 1 / step : 0
        for i in 0..<count {
            let code = max(0, min(levels, ((values[i * stride] - minimum) * inverse).rounded(.toNearestOrEven)))
            values[i * stride] = minimum + code * step
        }
    }
}
