// SPDX-License-Identifier: Apache-2.0
import Glibc
import Kernels

/// A learned map of rows, as the paper's compressors f_c and decompressors f_d are (arXiv 2602.08005, sections 4.1 and 5.3):
/// linear, or a perceptron with one hidden layer. In fp32; an output is one chain of multiply-adds in a fixed order, so it
/// does not depend on the other rows.
public struct PaperMap: Sendable {
    /// The kinds of map, under the names that published configurations use.
    public enum Form: String, Sendable, CaseIterable {
        /// `W x + b`.
        case linear
        /// `W₂ gelu(W₁ x + b₁) + b₂`, gelu by the error function.
        case gelu = "mlp_gelu"
        /// `W₃ (silu(W₁ x + b₁) ⊙ (W₂ x + b₂)) + b₃`; the first weight holds W₁ above W₂.
        case swiglu = "mlp_swiglu"
    }

    /// A weight by rows, [outputs][inputs], and its bias, empty where there is none.
    struct Weight {
        let outputs, inputs: Int
        let values: [Float]
        let bias: [Float]

        fileprivate func packed() throws(KernelError) -> PackedMatrix {
            let matrix = try PackedMatrix(inputs: inputs, outputs: outputs)
            values.withUnsafeBufferPointer { values in
                for row in 0..<outputs {
                    matrix.setRow(row, UnsafeBufferPointer(rebasing: values[row * inputs..<(row + 1) * inputs]))
                }
            }
            return matrix
        }
    }

    /// The kind.
    public let form: Form
    /// Elements of an input row.
    public let inputs: Int
    /// Elements of an output row.
    public let outputs: Int
    /// Elements of the hidden layer; 0 for a linear map.
    public let hidden: Int
    private let first: PackedMatrix
    private let second: PackedMatrix?
    private let biases: ([Float], [Float])

    /// A map of one weight (linear) or two. Nil where their shapes do not fit together.
    init?(_ form: Form, _ weights: [Weight]) throws(KernelError) {
        guard let front = weights.first, let back = weights.last, weights.count == (form == .linear ? 1 : 2) else {
            return nil
        }
        let width = form == .swiglu ? front.outputs / 2 : front.outputs
        guard weights.allSatisfy({ $0.bias.isEmpty || $0.bias.count == $0.outputs }), front.outputs > 0,
            form == .linear || back.inputs == width, form != .swiglu || front.outputs % 2 == 0
        else { return nil }
        self.form = form
        inputs = front.inputs
        outputs = back.outputs
        hidden = form == .linear ? 0 : width
        first = try front.packed()
        second = form == .linear ? nil : try back.packed()
        biases = (front.bias, back.bias)
    }

    /// Elements of scratch that a row needs.
    var scratchColumns: Int { form == .swiglu ? 3 * hidden : hidden }

    /// `y = f(x)`; `scratch` has room for ``scratchColumns`` elements a row.
    func apply(_ x: Matrix, to y: Matrix, scratch: UnsafeMutablePointer<Float>, with compute: Compute) {
        guard let second else {
            first.apply(x, to: y, with: compute)
            return Self.add(biases.0, to: y)
        }
        let wide = Matrix(scratch, rows: x.rows, columns: first.outputs)
        first.apply(x, to: wide, with: compute)
        Self.add(biases.0, to: wide)
        var activated = wide
        if form == .swiglu {
            activated = Matrix(scratch + x.rows * wide.columns, rows: x.rows, columns: hidden)
            compute.swiglu(wide, to: activated)
        } else {
            for row in 0..<wide.rows { Self.gelu(wide[row: row]) }
        }
        second.apply(activated, to: y, with: compute)
        Self.add(biases.1, to: y)
    }

    private static func add(_ bias: [Float], to rows: Matrix) {
        guard !bias.isEmpty else { return }
        for row in 0..<rows.rows {
            let values = rows[row: row]
            for i in bias.indices { values[i] += bias[i] }
        }
    }

    private static func gelu(_ values: UnsafeMutableBufferPointer<Float>) {
        let root = Float(0.5).squareRoot()
        for i in values.indices { values[i] = 0.5 * values[i] * (1 + erff(values[i] * root)) }
    }
}
