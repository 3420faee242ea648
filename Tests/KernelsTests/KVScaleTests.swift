// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Kernels

/// Keys and values in int8: the same bytes from all instruction sets, and as close to what they stand for as their scales allow.
@Suite struct KVScaleTests {
    /// Greatest magnitudes at the ends of what has a scale, at numbers that bfloat16 has and just above them, and none at all.
    private static let magnitudes: [Float] = [
        0, 0x1p-149, 0x1.fffffep-117, 0x1p-116, 0x1.000002p-116, 127, (127 as Float).nextUp, 127 * 1.0078125,
        (127 * 1.0078125 as Float).nextUp, 1, 0.3, 1e30, 3e38, .greatestFiniteMagnitude,
    ]

    @Test(arguments: [16, 64, 80]) func scalesFitEveryMagnitude(_ dimension: Int) throws {
        let layout = KVLayout(layers: 1, kvHeads: 1, headDimension: dimension, dataType: .int8)
        #expect(layout.pageBytes == 64 * (2 * dimension + 4))
        var random = Random(5)
        // Keys are turned first, which may make them larger: those here are not near the greatest number.
        let rows = Self.magnitudes.map { magnitude in
            let values = [magnitude] + random.floats(dimension - 1, -1...1).map { $0 * magnitude }
            return values.map { min(abs($0), 1e37) * ($0 < 0 ? -1 : 1) } + values
        }
        let expected = try bytes(of: rows, layout, .scalar)
        for set in InstructionSet.supported {
            let found = try bytes(of: rows, layout, set)
            let areSame = found == expected
            #expect(areSame)
        }
        let scanned = 64 * (dimension / 2 + 4), values = KVLayout.slabPages * scanned
        for (slot, row) in rows.enumerated() {
            let word = (0..<4).reduce(UInt32(0)) {
                $0 | UInt32(expected[64 * dimension / 2 + slot * 4 + $1]) << UInt32(8 * $1)
            }
            let scale = Float(bitPattern: word << 16), greatest = Self.magnitudes[slot]
            // Up to 1 in 128 above what would just do; next to nothing becomes nothing.
            let exact = greatest < 0x1p-116 ? 0 : greatest / 127
            #expect(scale >= exact && scale <= exact * (1 + 0x1p-7))
            for i in 0..<dimension {
                let code = Float(Int8(bitPattern: expected[values + slot * dimension + i]))
                #expect(abs(code * scale - row[dimension + i]) <= max(scale * 0.5001, 0x1p-116))
            }
        }
    }

    @Test(arguments: InstructionSet.supported) func whatIsNoNumberHasNoScale(_ set: InstructionSet) throws {
        let layout = KVLayout(layers: 1, kvHeads: 1, headDimension: 16, dataType: .int8)
        for (place, number) in [(3, Float.nan), (20, .nan), (5, .infinity), (30, -.infinity)] {
            var row = [Float](repeating: 1, count: 32)
            row[place] = number
            let found = try bytes(of: [row], layout, set), at = 64 * 8
            let word = (0..<4).reduce(UInt32(0)) { $0 | UInt32(found[at + $1]) << UInt32(8 * $1) }
            #expect(Float(bitPattern: word & 0xffff_0000).isNaN)
            #expect(Float(bitPattern: word << 16).isNaN == (place >= 16))
        }
    }

    /// A slab with rows of a key and a value each, which are not rotated.
    private func bytes(of rows: [[Float]], _ layout: KVLayout, _ set: InstructionSet) throws -> [UInt8] {
        let memory = try ReservedMemory(count: layout.slabBytes)
        let input = Rows(rows.count, 2 * layout.headDimension, values: Array(rows.joined()))
        let still =
            [Float](repeating: 1, count: layout.headDimension / 2)
            + [Float](repeating: 0, count: layout.headDimension / 2)
        let slots = rows.indices.map { KVSlot(page: layout.place(ofPage: 0, in: memory), slot: UInt32($0)) }
        try compute(set, threads: 1).rotateAndStore(
            input.matrix, heads: 0, layer: 0, layout: layout,
            rotation: Array(repeatElement(still, count: rows.count).joined()), slots: slots)
        return Array(UnsafeRawBufferPointer(start: memory.base, count: memory.count))
    }
}
