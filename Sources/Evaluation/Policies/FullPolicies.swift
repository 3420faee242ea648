// SPDX-License-Identifier: Apache-2.0
import Kernels

/// All keys and values in f16: what every size is measured against.
public struct HalfPolicy: CachePolicy {
    /// `f16`.
    public let name = "f16"

    /// The policy.
    public init() {}

    /// Rounds all rows to f16.
    public func compress(_ history: History) -> CompressedHistory {
        CompressedHistory(bytes: CacheBytes(memory: history.exactBytes)) { _, rows in
            for row in 0..<rows.rows { Rounding.toHalf(rows[row: row]) }
        }
    }
}

/// All tokens in int8: each head's keys and each head's values of a token are whole multiples, from -127 to 127, of an f16
/// scale. Both ends stay in f16.
public struct Int8Policy: CachePolicy {
    /// `int8`.
    public let name = "int8"
    private let ends = ExactEnds()

    /// The policy.
    public init() {}

    /// Rounds heads to int8.
    public func compress(_ history: History) -> CompressedHistory {
        let shape = history.shape, middle = ends.middle(of: history.count)
        let compressed = middle.count * shape.layers * 2 * shape.kvHeads * (shape.headDimension + 2)
        let exact = shape.exactBytes(tokens: history.count - middle.count)
        return CompressedHistory(bytes: CacheBytes(memory: compressed + exact)) { _, rows in
            for row in 0..<rows.rows {
                guard middle.contains(row) else {
                    Rounding.toHalf(rows[row: row])
                    continue
                }
                for head in 0..<2 * shape.kvHeads {
                    let first = head * shape.headDimension
                    Self.round(
                        UnsafeMutableBufferPointer(rebasing: rows[row: row][first..<first + shape.headDimension]))
                }
            }
        }
    }

    static func round(_ values: UnsafeMutableBufferPointer<Float>) {
        let largest = values.reduce(0) { max($0, abs($1)) }
        let scale = Float(Float16(largest / 127))
        // An f16 scale below the smallest one leaves nothing to tell apart.
        let inverse = scale > 0 ? 1 / scale : 0
        for i in values.indices {
            values[i] = max(-127, min(127, (values[i] * inverse).rounded(.toNearestOrEven))) * scale
        }
    }
}

/// Rounding of values to what is kept of them.
enum Rounding {
    /// To f16 and back; what is beyond its range becomes its largest value.
    static func toHalf(_ values: UnsafeMutableBufferPointer<Float>) {
        for i in values.indices { values[i] = toHalf(values[i]) }
    }

    static func toHalf(_ value: Float) -> Float { Float(Float16(max(-65504, min(65504, value)))) }
}
