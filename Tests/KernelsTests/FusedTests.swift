// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Kernels

/// Steps that are computed together give the bits that they give one after another.
@Suite struct FusedTests {
    private static let hidden = 96, feedForward = 160

    private func room(_ rows: Int) throws -> LinearScratch {
        try LinearScratch(
            rows: rows, hidden: Self.hidden, feedForward: Self.feedForward, widest: max(Self.hidden, Self.feedForward))
    }

    @Test(arguments: InstructionSet.supported, QuantizedType.allCases)
    func feedForwardEqualsItsSteps(_ set: InstructionSet, _ type: QuantizedType) throws {
        for rows in [1, 8, 21, 70] { try compareFeedForward(set, type, rows) }
    }

    private func compareFeedForward(_ set: InstructionSet, _ type: QuantizedType, _ rows: Int) throws {
        let gateUp = try QuantizedBlocks.random(type, rows: 2 * Self.feedForward, columns: Self.hidden, seed: 31)
            .matrix()
        let down = try QuantizedBlocks.random(type, rows: Self.hidden, columns: Self.feedForward, seed: 32).matrix()
        var random = Random(33)
        let values = random.floats(rows * Self.hidden, -2...2), norm = random.floats(Self.hidden)
        let layer = FeedForward(gateUp: .quantized(gateUp), down: .quantized(down))
        #expect(gateUp.canGate)
        for threads in [1, 3] {
            let compute = try compute(set, threads: threads)
            let fused = Rows(rows, Self.hidden, values: values), steps = Rows(rows, Self.hidden, values: values)
            layer.apply(addingTo: fused.matrix, weight: norm, epsilon: 1e-5, with: compute, scratch: try room(rows))
            let normalized = Rows(rows, Self.hidden), hidden = Rows(rows, 2 * Self.feedForward)
            let activated = Rows(rows, Self.feedForward), scratch = try room(rows)
            compute.normalize(steps.matrix, weight: norm, epsilon: 1e-5, to: normalized.matrix)
            layer.gateUp.apply(normalized.matrix, to: hidden.matrix, with: compute, scratch: scratch)
            compute.swiglu(hidden.matrix, to: activated.matrix)
            layer.down.apply(activated.matrix, to: steps.matrix, adding: true, with: compute, scratch: scratch)
            #expect(firstDifference(fused.values, steps.values) == nil)
            #expect(fused.isIntact && fused.values != values)
        }
    }

    /// A gate whose halves are not whole blocks, and fp32 weights, take the way step by step.
    @Test(arguments: InstructionSet.supported)
    func layersThatCannotBeFusedAreComputed(_ set: InstructionSet) throws {
        let inputs = 64, width = 48
        let gateUp = try QuantizedBlocks.random(.q4_0, rows: 2 * width, columns: inputs, seed: 34).matrix()
        let down = try PackedMatrix(inputs: width, outputs: inputs)
        var random = Random(35)
        for output in 0..<inputs { random.floats(width).withUnsafeBufferPointer { down.setRow(output, $0) } }
        let layer = FeedForward(gateUp: .quantized(gateUp), down: .float32(down))
        let norm = random.floats(inputs), x = Rows(5, inputs, values: random.floats(5 * inputs))
        let before = x.values
        let scratch = try LinearScratch(rows: 5, hidden: inputs, feedForward: width, widest: inputs)
        layer.apply(addingTo: x.matrix, weight: norm, epsilon: 1e-5, with: try compute(set), scratch: scratch)
        #expect(!gateUp.canGate && x.isIntact && x.values != before && x.values.allSatisfy { $0.isFinite })
    }

    @Test(arguments: InstructionSet.supported, [1, 7, 16, 33])
    func normalisedInputsEqualNormalisingFirst(_ set: InstructionSet, _ rows: Int) throws {
        let matrix = try QuantizedBlocks.random(.q4_1, rows: 50, columns: Self.hidden, seed: 36).matrix()
        var random = Random(37)
        let x = Rows(rows, Self.hidden, values: random.floats(rows * Self.hidden, -5...5))
        let norm = random.floats(Self.hidden), compute = try compute(set), scratch = try room(rows)
        let fused = Rows(rows, 50), steps = Rows(rows, 50), normalized = Rows(rows, Self.hidden)
        let weight = LinearWeight.quantized(matrix)
        weight.apply(
            normalized: x.matrix, weight: norm, epsilon: 1e-6, to: fused.matrix, with: compute, scratch: scratch)
        compute.normalize(x.matrix, weight: norm, epsilon: 1e-6, to: normalized.matrix)
        weight.apply(normalized.matrix, to: steps.matrix, with: compute, scratch: scratch)
        #expect(firstDifference(fused.values, steps.values) == nil)
    }
}
