// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
    import Glibc
#endif

/// Cosines and sines of the rotary position embedding (Su et al., RoFormer, section 3.2.2): pair i of a head turns by
/// `position · theta^(-2i / d)`. Computed in fp32 in the order of the reference implementation, whose rounding at large
/// positions a model has been trained with.
struct RotaryAngles: Sendable {
    private let frequencies: [Float]

    init(headDimension: Int, theta: Float) {
        frequencies = (0..<headDimension / 2).map { 1 / powf(theta, Float(2 * $0) / Float(headDimension)) }
    }

    /// Writes `[cosines | sines]` for a position, as many elements as a head has.
    func write(position: Int, to row: UnsafeMutableBufferPointer<Float>) {
        let half = frequencies.count
        for i in 0..<half {
            let angle = Float(position) * frequencies[i]
            row[i] = cosf(angle)
            row[half + i] = sinf(angle)
        }
    }
}
