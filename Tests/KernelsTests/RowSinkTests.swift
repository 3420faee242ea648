// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Kernels

/// Keys and values that are handed over a few rows at a time lie in pages as if they had come all at once.
@Suite struct RowSinkTests {
    @Test(arguments: KVDataType.allCases, InstructionSet.supported)
    func rowsThatAreHandedOverLieAsThoseThatComeAtOnce(_ type: KVDataType, _ set: InstructionSet) throws {
        // More heads than are turned together.
        for (kvHeads, dimension) in [(3, 64), (11, 256), (2, 80)] {
            let layout = KVLayout(layers: 2, kvHeads: kvHeads, headDimension: dimension, dataType: type)
            let count = 70, columns = 2 * kvHeads * dimension, compute = try compute(set, threads: 2)
            var random = Random(7)
            let layers = (0..<2).map { _ in Rows(count, columns, values: random.floats(count * columns, -2...2)) }
            let rotation = random.floats(count * dimension, -1...1)
            let handedOver = try pages(layout, count) { slots in
                compute.rotateAndStore(rows: count, layout: layout, rotation: rotation, slots: slots) { sink in
                    #expect(sink.layers == 2 && sink.rows == count && sink.columns == columns)
                    for (layer, rows) in layers.enumerated() {
                        for (first, some) in [(30, 40), (0, 30)] {
                            sink.put(
                                sink.context, layer, first, some, rows.matrix.base + first * rows.matrix.stride,
                                rows.matrix.stride)
                        }
                    }
                }
            }
            let atOnce = try pages(layout, count) { slots in
                compute.rotateAndStore(
                    layers: layers.map(\.matrix), layout: layout, rotation: rotation, slots: slots)
            }
            // Not within the macro, which would list how a million bytes differ.
            let areSame = handedOver == atOnce
            #expect(areSame)
            #expect(handedOver.contains { $0 != 0 })
        }
    }

    /// The bytes of pages that something was written to.
    private func pages(
        _ layout: KVLayout, _ tokens: Int, _ write: (UnsafePointer<KVSlot>) throws -> Void
    ) throws -> [UInt8] {
        let memory = try ReservedMemory(count: layout.slabBytes)
        let slots = (0..<tokens).map { token in
            KVSlot(
                page: layout.place(ofPage: token / KVLayout.pageTokens, in: memory),
                slot: UInt32(token % KVLayout.pageTokens))
        }
        try write(slots)
        return Array(UnsafeRawBufferPointer(start: memory.base, count: memory.count))
    }
}
