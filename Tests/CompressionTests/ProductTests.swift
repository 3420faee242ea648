// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels
import Testing

@testable import Compression

/// Products of rows and matrices in int8.
@Suite struct ProductTests {
    private static let sets = InstructionSet.supported.map(\.codec)

    /// `rows · matrixᵀ + added` by the kernels of a set; the rows' second group begins at `split`.
    private func multiply(
        _ rows: [[Float]], _ matrix: EightBitMatrix, split: Int, added: [Float], _ isa: dkv_codec_isa
    ) throws -> [[Float]] {
        let n = matrix.columns, outputs = matrix.rows, packed = try PackedEightBitMatrix(matrix)
        var codes = Array(repeating: Int8(0), count: rows.count * n)
        var scales = Array(repeating: Float(0), count: 2 * rows.count),
            biases = Array(repeating: Int32(0), count: 2 * rows.count)
        var y = Array(repeating: Float.nan, count: rows.count * outputs)
        codes.withUnsafeMutableBufferPointer { codes in
            scales.withUnsafeMutableBufferPointer { scales in
                biases.withUnsafeMutableBufferPointer { biases in
                    var x = dkv_codes(
                        columns: n, split: split, codes: codes.baseAddress, scales: scales.baseAddress,
                        biases: biases.baseAddress)
                    for (index, row) in rows.enumerated() { dkv_codes_set(&x, index, row) }
                    y.withUnsafeMutableBufferPointer { y in
                        let places = rows.indices.map { row in y.baseAddress.map { $0 + row * outputs } }
                        var m = packed.matrix
                        dkv_multiply(isa, &m, &x, rows.count, added, 0, places)
                    }
                }
            }
        }
        return rows.indices.map { Array(y[$0 * outputs..<($0 + 1) * outputs]) }
    }

    /// All sets give the same bits, whatever rows come together, and nearly what real numbers would.
    @Test func productsAreTheSameEverywhere() throws {
        var random = Random(61)
        let shapes = [
            (16, 4, 4), (32, 64, 32), (48, 96, 96), (48, 128, 128), (48, 128, 40), (192, 384, 32), (16, 768, 384),
        ]
        for (outputs, inputs, split) in shapes {
            let weights = (0..<outputs * inputs).map { _ in Double(random.value()) }
            let matrix = EightBitMatrix(weights, columns: inputs), added = (0..<outputs).map { _ in random.value() }
            let rows = (0..<129).map { row in (0..<inputs).map { $0 < split ? 9 * random.value() : random.value() } }
            let all = try multiply(rows, matrix, split: split, added: added, DKV_CODEC_SCALAR)
            for isa in Self.sets {
                // Rows are taken by 8, by 16 and by 32, at most 128 at once in tiles.
                for count in [1, 7, 8, 9, 16, 17, 32, 33, 100, 128, 129] {
                    let some = try multiply(Array(rows.prefix(count)), matrix, split: split, added: added, isa)
                    #expect(some == Array(all.prefix(count)))
                }
                #expect(try multiply([rows[77]], matrix, split: split, added: added, isa) == [all[77]])
            }
            for (index, row) in rows.enumerated().prefix(19) {
                for output in 0..<outputs {
                    let exact = zip(row, weights[output * inputs..<(output + 1) * inputs])
                        .reduce(Double(added[output])) { $0 + Double($1.0) * $1.1 }
                    #expect(abs(Double(all[index][output]) - exact) < 0.03 * Double(inputs).squareRoot() + 0.1)
                }
            }
        }
    }

    /// A group that cannot be told in int8 counts as zeros.
    @Test func groupsThatAreNoNumbersCountAsZeros() throws {
        let matrix = EightBitMatrix(Array(repeating: 1, count: 16 * 8), columns: 8)
        let added = Array(repeating: Float(2), count: 16)
        for bad in [Float.nan, .infinity, -.infinity, 1e-37, 0] {
            let row = [bad, 5, 5, 5, 3, 3, 3, 3].enumerated().map {
                bad == 0 || bad == 1e-37 ? ($0 < 4 ? bad : $1) : $1
            }
            for isa in Self.sets {
                let y = try multiply([row], matrix, split: 4, added: added, isa)
                #expect(y[0].allSatisfy { abs($0 - 14) < 1e-3 })
            }
        }
    }
}
