// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Kernels

@Suite struct QuantizedProductTests {
    /// Rows of activations, outputs, inputs.
    static let shapes = [
        (1, 1, 32), (1, 16, 64), (1, 100, 576), (2, 15, 96), (3, 17, 576), (4, 32, 128), (5, 16, 32), (6, 47, 160),
        (7, 33, 160), (8, 40, 2048), (9, 31, 32), (13, 100, 288), (17, 48, 64), (70, 130, 96),
    ]

    @Test(arguments: QuantizedType.allCases, shapes)
    func isTheDefinedProductOnEverySet(_ type: QuantizedType, _ shape: (Int, Int, Int)) throws {
        let (rows, outputs, inputs) = shape
        let blocks = QuantizedBlocks.random(type, rows: outputs, columns: inputs, seed: 1)
        let matrix = try blocks.matrix()
        var random = Random(2)
        let x = random.floats(rows * inputs, -3...3), start = random.floats(rows * outputs)
        let expected = blocks.product(x), added = blocks.product(x, start: start)
        for set in InstructionSet.supported {
            let output = try matrix.product(x, set), sum = try matrix.product(x, set, start: start)
            #expect(firstDifference(output.values, expected) == nil, "\(set)")
            #expect(firstDifference(sum.values, added) == nil, "\(set)")
            #expect(output.isIntact && sum.isIntact)
        }
    }

    /// A row's bits are the same alone and in any batch, at any place in it, and for any number of threads.
    @Test(arguments: InstructionSet.supported, QuantizedType.allCases)
    func rowsAreIndependent(_ set: InstructionSet, _ type: QuantizedType) throws {
        let rows = 21, outputs = 75, inputs = 160
        let matrix = try QuantizedBlocks.random(type, rows: outputs, columns: inputs, seed: 3).matrix()
        var random = Random(4)
        let x = random.floats(rows * inputs)
        let together = try matrix.product(x, set, threads: 1)
        for threads in [2, 3, 7] {
            let again = try matrix.product(x, set, threads: threads)
            #expect(firstDifference(again.values, together.values) == nil, "\(threads) threads")
        }
        let all = together.values
        for first in 0..<rows {
            for count in [1, 2, 5] where first + count <= rows {
                let part = try matrix.product(Array(x[first * inputs..<(first + count) * inputs]), set, threads: 1)
                #expect(firstDifference(part.values, all[first * outputs..<(first + count) * outputs]) == nil)
            }
        }
    }

    /// The greatest magnitudes of codes and activations, in all combinations of signs: nothing may saturate.
    @Test(arguments: InstructionSet.supported, QuantizedType.allCases)
    func extremesDoNotSaturate(_ set: InstructionSet, _ type: QuantizedType) throws {
        let range = QuantizedBlocks.codeRange(type)
        let patterns: [(Int) -> Bool] = [{ _ in true }, { _ in false }, { $0 % 2 == 0 }, { $0 % 4 < 2 }, { $0 < 16 }]
        let blocks = QuantizedBlocks(type, rows: 20, columns: 64) { index in
            QuantizedBlocks.Block(
                scale: 1, minimum: 1,
                codes: (0..<32).map { patterns[index / 2 % patterns.count]($0) ? range.lowerBound : range.upperBound })
        }
        let x = patterns.flatMap { pattern in (0..<64).map { pattern($0 % 32) ? Float(-1) : 1 } }
        let output = try blocks.matrix().product(x, set).values
        #expect(firstDifference(output, blocks.product(x)) == nil)
        // With the scale 1 / 127 the product is what the floats give, apart from rounding.
        let expected = (0..<patterns.count * 20).map { index in
            zip(blocks.values(row: index % 20), x[index / 20 * 64..<(index / 20 + 1) * 64])
                .reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        }
        #expect(largestError(output, expected) < 1e-5)
    }

    /// Zeros, magnitudes from the least to the greatest, and steps right at the borders of codes.
    @Test(arguments: InstructionSet.supported, QuantizedType.allCases)
    func hostileActivations(_ set: InstructionSet, _ type: QuantizedType) throws {
        let blocks = QuantizedBlocks.random(type, rows: 19, columns: 64, seed: 5)
        var random = Random(6)
        let scales: [Float] = [
            0, -0.0, .leastNonzeroMagnitude, .leastNormalMagnitude, 0x1p-117, 0x1p-116, 1e-30, 1e-10, 1, 127,
            1e10, 1e30, 2e38, .greatestFiniteMagnitude,
        ]
        var x = scales.flatMap { scale in random.floats(64).map { $0 * scale } }
        // Ties between codes.
        x += (0..<64).map { $0 % 32 == 0 ? 127 : Float($0 - 32) + 0.5 }
        // One spike beside values that become nothing.
        x += (0..<64).map { $0 == 5 ? -.greatestFiniteMagnitude : 1 }
        let output = try blocks.matrix().product(x, set).values
        #expect(firstDifference(output, blocks.product(x)) == nil)
        #expect(output[..<(19 * 5)].allSatisfy { $0 == 0 })
    }

    /// What is not finite spoils its row and no other.
    @Test(arguments: InstructionSet.supported, QuantizedType.allCases)
    func nonFiniteActivations(_ set: InstructionSet, _ type: QuantizedType) throws {
        let outputs = 18, inputs = 96
        let matrix = try QuantizedBlocks.random(type, rows: outputs, columns: inputs, seed: 7).matrix()
        var random = Random(8)
        let clean = random.floats(11 * inputs)
        var x = clean
        for (row, value) in [(1, Float.nan), (4, .infinity), (9, -.infinity), (10, -.nan)] {
            x[row * inputs + 7 * row] = value
        }
        let output = try matrix.product(x, set).values, expected = try matrix.product(clean, set).values
        for row in 0..<11 {
            let found = output[row * outputs..<(row + 1) * outputs]
            if [1, 4, 9, 10].contains(row) {
                #expect(found.allSatisfy { $0.isNaN })
            } else {
                #expect(firstDifference(found, expected[row * outputs..<(row + 1) * outputs]) == nil)
            }
        }
    }

    /// Against exact products with the dequantised weights: each activation is off by half a step of its block at most.
    @Test(arguments: InstructionSet.supported, QuantizedType.allCases)
    func errorIsWithinTheBound(_ set: InstructionSet, _ type: QuantizedType) throws {
        let rows = 6, outputs = 50, inputs = 576
        let blocks = QuantizedBlocks.random(type, rows: outputs, columns: inputs, seed: 9)
        var random = Random(10)
        let x = random.floats(rows * inputs, -5...5)
        let output = try blocks.matrix().product(x, set).values
        for row in 0..<rows {
            let input = x[row * inputs..<(row + 1) * inputs].map(Double.init)
            let steps = (0..<inputs / 32).map { b in input[b * 32..<b * 32 + 32].reduce(0) { max($0, abs($1)) } / 127 }
            for o in 0..<outputs {
                let weights = blocks.values(row: o).map(Double.init)
                let exact = zip(input, weights).reduce(0) { $0 + $1.0 * $1.1 }
                // Half a step each, and the rounding of a few operations a block.
                let bound = weights.enumerated().reduce(0) { $0 + steps[$1.offset / 32] * abs($1.element) * 0.5001 }
                let rounding = zip(input, weights).reduce(0) { $0 + abs($1.0 * $1.1) } * 1e-5
                #expect(abs(Double(output[row * outputs + o]) - exact) <= bound + rounding)
            }
        }
    }

    /// One quantised input serves several matrices, and the workspace may be used again with another shape.
    @Test func activationsAreShared() throws {
        let first = QuantizedBlocks.random(.q4_1, rows: 40, columns: 96, seed: 11)
        let second = QuantizedBlocks.random(.q8_0, rows: 17, columns: 96, seed: 12)
        let third = QuantizedBlocks.random(.q4_0, rows: 9, columns: 64, seed: 13)
        var random = Random(14)
        let x = random.floats(12 * 96), z = random.floats(3 * 64)
        let compute = try compute(.best)
        let activations = try QuantizedActivations(maxRows: 12, maxColumns: 96)
        func quantize(_ rows: Rows) { withExtendedLifetime(rows) { activations.quantize(rows.matrix, with: compute) } }
        func product(_ blocks: QuantizedBlocks) throws -> [Float] {
            let matrix = try blocks.matrix(), output = Rows(activations.rows, blocks.rows)
            withExtendedLifetime(output) { matrix.multiply(activations, into: output.matrix, with: compute) }
            return output.values
        }
        quantize(Rows(12, 96, values: x))
        #expect(firstDifference(try product(first), first.product(x)) == nil)
        #expect(firstDifference(try product(second), second.product(x)) == nil)
        quantize(Rows(3, 64, values: z))
        #expect(firstDifference(try product(third), third.product(z)) == nil)
        quantize(Rows(0, 64))
        #expect(try product(third).isEmpty)
    }
}
