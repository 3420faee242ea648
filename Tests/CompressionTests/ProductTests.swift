// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels
import Testing

@testable import Compression

/// Products of rows and matrices in int8.
@Suite struct ProductTests {
    private static let sets = InstructionSet.supported.map(\.codec)

    /// `rows · matrixᵀ + added` by the kernels of a set, for what two runs take of the rows.
    private func multiply(
        _ rows: [[Float]], _ matrix: EightBitMatrix, runs: [Range<Int>], added: [Float], _ isa: dkv_codec_isa
    ) throws -> [[Float]] {
        let n = rows[0].count, outputs = matrix.rows, packed = try PackedEightBitMatrix(matrix)
        let taken = runs.map { dkv_run(first: $0.lowerBound, count: $0.count) }
        // What runs leave out is not zero in memory either.
        var codes = Array(repeating: Int8(77), count: rows.count * n)
        var scales = Array(repeating: Float(0), count: 2 * rows.count),
            biases = Array(repeating: Int32(0), count: 2 * rows.count)
        var y = Array(repeating: Float.nan, count: rows.count * outputs)
        codes.withUnsafeMutableBufferPointer { codes in
            scales.withUnsafeMutableBufferPointer { scales in
                biases.withUnsafeMutableBufferPointer { biases in
                    var x = dkv_codes(
                        columns: n, runs: (taken[0], taken[1]), codes: codes.baseAddress,
                        scales: scales.baseAddress, biases: biases.baseAddress)
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
        let shapes: [(outputs: Int, columns: Int, runs: [Range<Int>])] = [
            (16, 4, [0..<4, 4..<4]), (32, 64, [0..<32, 32..<64]), (48, 96, [0..<96, 96..<96]),
            (48, 128, [0..<128, 128..<128]), (48, 128, [0..<40, 40..<128]), (192, 384, [0..<32, 32..<384]),
            (16, 768, [0..<384, 384..<768]), (32, 768, [192..<384, 384..<576]), (32, 768, [0..<0, 576..<768]),
            (16, 256, [64..<128, 192..<256]), (16, 128, [32..<64, 64..<96]), (16, 128, [32..<64, 64..<128]),
            (48, 96, [0..<32, 32..<96]), (32, 224, [0..<32, 32..<224]), (16, 96, [0..<64, 64..<96]),
            (48, 64, [0..<60, 60..<64]),
        ]
        for (outputs, columns, runs) in shapes {
            let used = runs.flatMap { $0 }, inputs = used.count
            let weights = (0..<outputs * inputs).map { _ in Double(random.value()) }
            let matrix = EightBitMatrix(weights, columns: inputs), added = (0..<outputs).map { _ in random.value() }
            let rows = (0..<129).map { row in
                (0..<columns).map { runs[0].contains($0) ? 9 * random.value() : random.value() }
            }
            let all = try multiply(rows, matrix, runs: runs, added: added, DKV_CODEC_SCALAR)
            for isa in Self.sets {
                // Rows are taken by 8, by 16 and by 32, at most 128 at once in tiles.
                for count in [1, 7, 8, 9, 16, 17, 32, 33, 100, 128, 129] {
                    let some = try multiply(Array(rows.prefix(count)), matrix, runs: runs, added: added, isa)
                    #expect(some == Array(all.prefix(count)))
                }
                #expect(try multiply([rows[77]], matrix, runs: runs, added: added, isa) == [all[77]])
            }
            for (index, row) in rows.enumerated().prefix(19) {
                for output in 0..<outputs {
                    let exact = zip(used.map { row[$0] }, weights[output * inputs..<(output + 1) * inputs])
                        .reduce(Double(added[output])) { $0 + Double($1.0) * $1.1 }
                    #expect(abs(Double(all[index][output]) - exact) < 0.03 * Double(inputs).squareRoot() + 0.1)
                }
            }
        }
    }

    /// A run that cannot be told in int8 counts as zeros.
    @Test func runsThatAreNoNumbersCountAsZeros() throws {
        let matrix = EightBitMatrix(Array(repeating: 1, count: 16 * 8), columns: 8)
        let added = Array(repeating: Float(2), count: 16)
        for bad in [Float.nan, .infinity, -.infinity, 1e-37, 0] {
            let row = [bad, 5, 5, 5, 3, 3, 3, 3].enumerated().map {
                bad == 0 || bad == 1e-37 ? ($0 < 4 ? bad : $1) : $1
            }
            for isa in Self.sets {
                let y = try multiply([row], matrix, runs: [0..<4, 4..<8], added: added, isa)
                #expect(y[0].allSatisfy { abs($0 - 14) < 1e-3 })
            }
        }
    }
}
