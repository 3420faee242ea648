// SPDX-License-Identifier: Apache-2.0
import CKernels
import Foundation
import Testing

@testable import Kernels

@Suite struct RowOperationTests {
    static let widths = [1, 7, 8, 15, 16, 17, 31, 33, 576, 1000]

    @Test(arguments: InstructionSet.supported, widths)
    func normalizes(_ set: InstructionSet, _ width: Int) throws {
        var random = Random(5)
        // A row of zeros, an ordinary one, a tiny and a large one.
        let scales: [Float] = [0, 1, 1e-10, 1e15]
        let x = scales.flatMap { scale in random.floats(width).map { $0 * scale } }
        let weight = random.floats(width)
        let output = Rows(scales.count, width)
        try compute(set).normalize(
            Rows(scales.count, width, values: x).matrix, weight: weight, epsilon: 1e-5, to: output.matrix)
        let expected = scales.indices.flatMap { row -> [Double] in
            let values = x[row * width..<(row + 1) * width].map(Double.init)
            let scale = 1 / (values.reduce(0) { $0 + $1 * $1 } / Double(width) + 1e-5).squareRoot()
            return zip(values, weight).map { $0 * scale * Double($1) }
        }
        #expect(largestError(output.values, expected) < 1e-5)
        #expect(output.isIntact)
    }

    @Test(arguments: InstructionSet.supported, widths)
    func gates(_ set: InstructionSet, _ width: Int) throws {
        var random = Random(6)
        let hostile: [Float] = [0, -0.0, 88, -88, 87.5, -87.5, 100, -100, 1e30, -1e30, .leastNonzeroMagnitude]
        let gate = (0..<width).map { $0 < hostile.count ? hostile[$0] : Float.random(in: -20...20, using: &random) }
        let up = random.floats(width)
        let output = Rows(3, width)
        let input = Rows(3, 2 * width, values: Array([gate, up, gate, up, gate, up].joined()))
        try compute(set).swiglu(input.matrix, to: output.matrix)
        let expected = zip(gate, up).map { Double($0) / (1 + exp(-Double($0))) * Double($1) }
        #expect(largestError(output.values, expected + expected + expected) < 1e-6)
        #expect(output.isIntact)
    }

    @Test(arguments: InstructionSet.supported, [2, 16, 64, 80, 128])
    func rotates(_ set: InstructionSet, _ dimension: Int) throws {
        var random = Random(7)
        let heads = 3, half = dimension / 2
        let x = random.floats(heads * dimension)
        let angles = random.floats(half, -3...3)
        let cosine = angles.map { cosf($0) }, sine = angles.map { sinf($0) }
        var y = x
        set.table.pointee.rope(&y, heads, dimension, cosine, sine)
        var expected = x.map(Double.init)
        for h in 0..<heads {
            for i in 0..<half {
                let a = Double(x[h * dimension + i]), b = Double(x[h * dimension + half + i])
                expected[h * dimension + i] = a * Double(cosine[i]) - b * Double(sine[i])
                expected[h * dimension + half + i] = b * Double(cosine[i]) + a * Double(sine[i])
            }
        }
        #expect(largestError(y, expected) < 1e-6)
    }

    @Test(arguments: InstructionSet.supported)
    func widensEveryHalf(_ set: InstructionSet) {
        let halves = (0...UInt16.max).map { $0 }
        var floats = [Float](repeating: 0, count: halves.count)
        set.table.pointee.widen(halves, &floats, halves.count)
        for (half, float) in zip(halves, floats) {
            let expected = Float(Float16(bitPattern: half))
            #expect(expected.isNaN ? float.isNaN : float.bitPattern == expected.bitPattern)
        }
    }

    @Test(arguments: InstructionSet.supported, [1, 5, 8, 17, 4099])
    func narrowsLikeTheHardware(_ set: InstructionSet, _ count: Int) {
        var random = Random(8)
        var floats: [Float] = [
            65504, 65519, 65520, -1e30, .infinity, -.infinity, 6.1e-5, 5.9e-8, 2.9e-8, 1e-38, 0, -0.0, .nan,
        ]
        while floats.count < count {
            floats.append(Float(bitPattern: UInt32.random(in: 0...UInt32.max, using: &random)))
        }
        floats = Array(floats.suffix(count))
        var halves = [UInt16](repeating: 0, count: count)
        set.table.pointee.narrow(floats, &halves, count)
        for (float, half) in zip(floats, halves) {
            let expected = Float16(min(max(float, -65504), 65504))
            #expect(float.isNaN ? Float16(bitPattern: half).isNaN : half == expected.bitPattern)
        }
    }
}
