// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Kernels

@Suite struct LinearTests {
    static let shapes = [
        (1, 1, 1), (1, 33, 17), (5, 31, 64), (12, 32, 48), (13, 70, 100), (25, 96, 576), (200, 40, 33),
    ]

    private func packed(_ weights: [Float], inputs: Int, outputs: Int) throws -> PackedMatrix {
        let matrix = try PackedMatrix(inputs: inputs, outputs: outputs)
        weights.withUnsafeBufferPointer { weights in
            for o in 0..<outputs {
                matrix.setRow(o, UnsafeBufferPointer(rebasing: weights[o * inputs..<(o + 1) * inputs]))
            }
        }
        return matrix
    }

    private func product(_ x: [Float], _ w: [Float], rows: Int, outputs: Int, inputs: Int) -> [Double] {
        (0..<rows * outputs).map { i in
            (0..<inputs).reduce(0) { $0 + Double(x[i / outputs * inputs + $1]) * Double(w[i % outputs * inputs + $1]) }
        }
    }

    @Test(arguments: InstructionSet.supported, shapes)
    func matchesReference(_ set: InstructionSet, _ shape: (Int, Int, Int)) throws {
        let (rows, outputs, inputs) = shape
        var random = Random(1)
        let x = random.floats(rows * inputs), w = random.floats(outputs * inputs), start = random.floats(rows * outputs)
        let weight = try packed(w, inputs: inputs, outputs: outputs)
        let input = Rows(rows, inputs, values: x), output = Rows(rows, outputs),
            sum = Rows(rows, outputs, values: start)
        let compute = try compute(set)
        weight.apply(input.matrix, to: output.matrix, with: compute)
        weight.apply(input.matrix, to: sum.matrix, adding: true, with: compute)
        let expected = product(x, w, rows: rows, outputs: outputs, inputs: inputs)
        #expect(largestError(output.values, expected) < 1e-4)
        #expect(largestError(sum.values, zip(expected, start).map { $0 + Double($1) }) < 1e-4)
        #expect(output.isIntact && sum.isIntact && input.isIntact)
    }

    /// A row's bits are the same alone and in any batch, and for any number of threads.
    @Test(arguments: InstructionSet.supported)
    func rowsAreIndependent(_ set: InstructionSet) throws {
        let rows = 29, outputs = 77, inputs = 131
        var random = Random(2)
        let x = random.floats(rows * inputs), w = random.floats(outputs * inputs)
        let weight = try packed(w, inputs: inputs, outputs: outputs)
        let together = Rows(rows, outputs)
        weight.apply(Rows(rows, inputs, values: x).matrix, to: together.matrix, with: try compute(set, threads: 1))
        for threads in [2, 3] {
            let again = Rows(rows, outputs)
            weight.apply(
                Rows(rows, inputs, values: x).matrix, to: again.matrix, with: try compute(set, threads: threads))
            #expect(again.values.bits == together.values.bits)
        }
        let single = try compute(set, threads: 1)
        for row in 0..<rows {
            let alone = Rows(1, outputs)
            let input = Rows(1, inputs, values: Array(x[row * inputs..<(row + 1) * inputs]))
            weight.apply(input.matrix, to: alone.matrix, with: single)
            #expect(alone.values.bits == Array(together.matrix[row: row]).bits)
        }
    }

    @Test(arguments: InstructionSet.supported)
    func hugeAndZeroValues(_ set: InstructionSet) throws {
        let weight = try packed([0, 0, 1e30, 1e30, 3e38, 3e38], inputs: 2, outputs: 3)
        let output = Rows(2, 3)
        weight.apply(Rows(2, 2, values: [0, 0, 1, 1]).matrix, to: output.matrix, with: try compute(set))
        #expect(output.values == [0, 0, 0, 0, 2e30, .infinity])
    }

    @Test func copiesRowsBack() throws {
        var random = Random(3)
        let w = random.floats(45 * 19)
        let weight = try packed(w, inputs: 19, outputs: 45)
        for output in [0, 31, 32, 44] {
            var row = [Float](repeating: 0, count: 19)
            row.withUnsafeMutableBufferPointer { weight.copyRow(output, to: $0) }
            #expect(row == Array(w[output * 19..<(output + 1) * 19]))
        }
    }

    @Test func agreesWithOpenBLAS() throws {
        let m = 50, n = 70, k = 90
        var random = Random(4)
        let x = random.floats(m * k), w = random.floats(n * k)
        var c = [Float](repeating: .nan, count: m * n)
        let blas = try OpenBLAS()
        x.withUnsafeBufferPointer { x in
            w.withUnsafeBufferPointer { w in
                c.withUnsafeMutableBufferPointer { blas.multiplyTransposed(x, w, into: $0, m: m, n: n, k: k) }
            }
        }
        let output = Rows(m, n)
        let weight = try packed(w, inputs: k, outputs: n)
        weight.apply(Rows(m, k, values: x).matrix, to: output.matrix, with: try compute(.best))
        #expect(largestError(output.values, c.map(Double.init)) < 1e-5)
        #expect(!blas.core.isEmpty && blas.configuration.contains("OpenBLAS"))
    }

    /// Products that a pool shares are the same bits for any number of threads, and what one call gives but for rounding.
    @Test func sharedProductsOfOpenBLASDoNotDependOnThreads() throws {
        let blas = try OpenBLAS(), m = 300, n = 70, k = 90
        let a = (0..<m * k).map { Float($0 % 13) - 6 }, b = (0..<k * n).map { Float($0 % 11) / 8 - 0.6 }
        func product(threads: Int, transposed: Bool) throws -> [Float] {
            var c = Array(repeating: Float.nan, count: m * n)
            try blas.multiply(
                a, transposed: transposed, b, into: &c, m: m, n: n, k: k, on: ThreadPool(threads: threads))
            return c
        }
        func other(threads: Int) throws -> [Float] {
            var c = Array(repeating: Float.nan, count: m * n)
            try blas.multiplyTransposed(a, b, into: &c, m: m, n: n, k: k, on: ThreadPool(threads: threads))
            return c
        }
        var plain = Array(repeating: Float(0), count: m * n)
        for transposed in [false, true] {
            blas.multiply(a, transposed: transposed, b, into: &plain, m: m, n: n, k: k)
            let shared = try product(threads: 1, transposed: transposed)
            #expect(zip(shared, plain).allSatisfy { abs($0 - $1) < 1e-2 })
            #expect(try product(threads: 3, transposed: transposed) == shared)
        }
        var rows = plain
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                rows.withUnsafeMutableBufferPointer { blas.multiplyTransposed(a, b, into: $0, m: m, n: n, k: k) }
            }
        }
        #expect(zip(try other(threads: 1), rows).allSatisfy { abs($0 - $1) < 1e-2 })
        #expect(try other(threads: 3) == other(threads: 1))
    }
}
