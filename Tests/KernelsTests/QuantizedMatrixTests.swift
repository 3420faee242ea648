// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Kernels

@Suite struct QuantizedMatrixTests {
    @Test func blockSizesAreTheFormats() {
        #expect(QuantizedType.allCases.map(\.blockBytes) == [18, 20, 22, 24, 34])
    }

    /// Rows come back as GGUF dequantises them, to the bit; scales may be zero, negative, subnormal or the greatest.
    @Test(arguments: QuantizedType.allCases, [(1, 32), (16, 64), (37, 96), (50, 576)])
    func rowsComeBack(_ type: QuantizedType, _ shape: (Int, Int)) throws {
        var blocks = QuantizedBlocks.random(type, rows: shape.0, columns: shape.1, seed: 1)
        let scales: [Float16] = [0, -0.0, .leastNonzeroMagnitude, -.leastNormalMagnitude, .greatestFiniteMagnitude, -1]
        for (index, scale) in scales.enumerated() where index < blocks.blocks.count {
            blocks.blocks[index].scale = scale
            blocks.blocks[index].minimum = scales[(index + 3) % scales.count]
        }
        let matrix = try blocks.matrix()
        for row in 0..<shape.0 {
            var values = [Float](repeating: .nan, count: shape.1)
            values.withUnsafeMutableBufferPointer { matrix.copyRow(row, to: $0) }
            #expect(firstDifference(values, blocks.values(row: row)) == nil)
        }
    }

    @Test(arguments: QuantizedType.allCases)
    func takesTheMemoryOfTheFile(_ type: QuantizedType) throws {
        let matrix = try QuantizedBlocks.random(type, rows: 64, columns: 128, seed: 2).matrix()
        #expect(matrix.byteCount == 64 * 4 * type.blockBytes)
        #expect((matrix.rows, matrix.columns, matrix.type) == (64, 128, type))
    }

    /// Several tensors in one matrix, and rows in another order.
    @Test func rowsAreAskedForOneByOne() throws {
        let blocks = QuantizedBlocks.random(.q5_1, rows: 20, columns: 64, seed: 3)
        let bytes = blocks.bytes, rowBytes = 2 * QuantizedType.q5_1.blockBytes
        let reversed = try bytes.withUnsafeBytes { bytes in
            try QuantizedMatrix(type: .q5_1, rows: 20, columns: 64) { row in
                UnsafeRawBufferPointer(rebasing: bytes[(19 - row) * rowBytes..<(20 - row) * rowBytes])
            }
        }
        var values = [Float](repeating: .nan, count: 64)
        values.withUnsafeMutableBufferPointer { reversed.copyRow(3, to: $0) }
        #expect(firstDifference(values, blocks.values(row: 16)) == nil)
    }

    @Test(arguments: [(0, 32), (-1, 32), (3, 0), (3, -32), (3, 31), (3, 48), (3, Int.max), (3, Int.min)])
    func refusesImpossibleShapes(_ shape: (Int, Int)) {
        #expect(throws: QuantizedError.invalidShape(rows: shape.0, columns: shape.1)) { try make(shape, bytes: []) }
    }

    @Test(arguments: [(Int.max, 32), (1, Int.max / 32 * 32), (1 << 40, 1 << 40)])
    func refusesShapesBeyondMemory(_ shape: (Int, Int)) {
        #expect(throws: QuantizedError.self) { try make(shape, bytes: [0]) }
    }

    @Test func refusesWrongByteCounts() {
        for (count, row, found) in [(0, 0, 0), (19, 0, 19), (20, 1, 0), (39, 1, 19), (41, 1, 21)] {
            #expect(throws: QuantizedError.wrongByteCount(row: row, expected: 20, found: found)) {
                try make((2, 32), bytes: [UInt8](repeating: 0, count: count))
            }
        }
    }

    @Test(arguments: QuantizedType.allCases, [Float16.infinity, -.infinity, .nan])
    func refusesScalesThatAreNotFinite(_ type: QuantizedType, _ value: Float16) {
        var blocks = QuantizedBlocks.random(type, rows: 5, columns: 96, seed: 4)
        blocks.blocks[7].scale = value
        #expect(throws: QuantizedError.nonFiniteScale(row: 2, block: 1)) { try blocks.matrix() }
        guard blocks.hasMinima else { return }
        blocks.blocks[7].scale = 1
        blocks.blocks[5].minimum = value
        #expect(throws: QuantizedError.nonFiniteScale(row: 1, block: 2)) { try blocks.matrix() }
    }

    @Test func refusesImpossibleWorkspaces() {
        for (rows, columns) in [(0, 32), (-4, 32), (1, 0), (1, 33), (Int.max, 32), (1, Int.max / 32 * 32)] {
            #expect(throws: QuantizedError.self) { try QuantizedActivations(maxRows: rows, maxColumns: columns) }
        }
    }

    private func make(_ shape: (Int, Int), bytes: [UInt8]) throws -> QuantizedMatrix {
        try bytes.withUnsafeBytes { try QuantizedMatrix(type: .q4_1, rows: shape.0, columns: shape.1, blocks: $0) }
    }
}
