// SPDX-License-Identifier: Apache-2.0
import Kernels

#if canImport(Glibc)
    import Glibc
#endif

/// Cosines and sines of the rotary position embedding (Su et al., RoFormer, section 3.2.2): pair i of a head turns by
/// `position · theta^(-2i / d)`. Computed in fp32 in the order of the reference implementation, whose rounding at large
/// positions a model has been trained with; each position once, when it is first asked for. One caller at a time.
final class RotaryAngles {
    private let frequencies: [Float]
    private let contextLength: Int
    /// `[cosines | sines]` of the positions below ``known``. Address space for the whole context, memory as far as it is used.
    private let table: ReservedMemory
    private var known = 0

    init(headDimension: Int, theta: Float, contextLength: Int) throws(KernelError) {
        frequencies = (0..<headDimension / 2).map { 1 / powf(theta, Float(2 * $0) / Float(headDimension)) }
        self.contextLength = contextLength
        table = try ReservedMemory(count: contextLength * headDimension * MemoryLayout<Float>.stride)
    }

    /// Writes `[cosines | sines]` for a position of the context, as many elements as a head has.
    func write(position: Int, to row: UnsafeMutableBufferPointer<Float>) {
        precondition(position < contextLength, "a position outside the context")
        while known <= position { compute() }
        _ = row.update(fromContentsOf: angles(of: position))
    }

    private func angles(of position: Int) -> UnsafeMutableBufferPointer<Float> {
        let count = 2 * frequencies.count
        return UnsafeMutableBufferPointer(start: table.floats() + position * count, count: count)
    }

    private func compute() {
        let row = angles(of: known), half = frequencies.count
        for i in 0..<half {
            let angle = Float(known) * frequencies[i]
            row[i] = cosf(angle)
            row[half + i] = sinf(angle)
        }
        known += 1
    }
}
