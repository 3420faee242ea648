// SPDX-License-Identifier: Apache-2.0
import Kernels

#if canImport(Glibc)
    import Glibc
#endif

/// Cosines and sines of the rotary position embedding: pair i of a head turns by its frequency times the position. Each
/// position is computed once, when it is first asked for. One caller at a time.
final class RotaryAngles {
    private let frequencies: RotaryFrequencies
    private let contextLength: Int
    /// `[cosines | sines]` of the positions below ``known``. Address space for the whole context, memory as far as it is used.
    private let table: ReservedMemory
    private var known = 0

    init(_ frequencies: RotaryFrequencies, contextLength: Int) throws(KernelError) {
        self.frequencies = frequencies
        self.contextLength = contextLength
        table = try ReservedMemory(count: contextLength * 2 * frequencies.radians.count * MemoryLayout<Float>.stride)
    }

    /// `[cosines | sines]` of consecutive positions of the context, one after another, as many elements each as a head has.
    func of(_ positions: Range<Int>) -> UnsafePointer<Float> {
        precondition(positions.upperBound <= contextLength, "a position outside the context")
        while known < positions.upperBound { compute() }
        return UnsafePointer(angles(of: positions.lowerBound).baseAddress!)
    }

    /// Writes `[cosines | sines]` for a position of the context, as many elements as a head has.
    func write(position: Int, to row: UnsafeMutableBufferPointer<Float>) {
        precondition(position < contextLength, "a position outside the context")
        while known <= position { compute() }
        _ = row.update(fromContentsOf: angles(of: position))
    }

    private func angles(of position: Int) -> UnsafeMutableBufferPointer<Float> {
        let count = 2 * frequencies.radians.count
        return UnsafeMutableBufferPointer(start: table.floats() + position * count, count: count)
    }

    private func compute() {
        let row = angles(of: known), half = frequencies.radians.count
        for i in 0..<half {
            let angle = Float(known) * frequencies.radians[i]
            row[i] = cosf(angle) * frequencies.magnitude
            row[half + i] = sinf(angle) * frequencies.magnitude
        }
        known += 1
    }
}
