// SPDX-License-Identifier: Apache-2.0
import CKernels

/// The weight of a linear layer, in a layout that its kernel streams.
///
/// Results do not depend on the number of rows or threads: every output element is one chain of multiply-adds over the
/// inputs in ascending order.
public enum LinearWeight: Sendable {
    /// fp32, interleaved by panels of 32 outputs.
    case float32(PackedMatrix)
    /// The bits of the file's blocks; inputs are quantised to int8 for the product.
    case quantized(QuantizedMatrix)

    /// Inputs of the layer.
    public var inputs: Int {
        switch self {
        case .float32(let matrix): matrix.inputs
        case .quantized(let matrix): matrix.columns
        }
    }

    /// Outputs of the layer.
    public var outputs: Int {
        switch self {
        case .float32(let matrix): matrix.outputs
        case .quantized(let matrix): matrix.rows
        }
    }

    /// `y = x · Wᵀ`, or `y += x · Wᵀ` if `adding`. `x` is [rows][inputs], `y` [rows][outputs].
    ///
    /// - Parameter scratch: Room for `x` in int8, which a quantised weight needs.
    public func apply(
        _ x: Matrix, to y: Matrix, adding: Bool = false, with compute: Compute, scratch: LinearScratch
    ) {
        switch self {
        case .float32(let matrix): matrix.apply(x, to: y, adding: adding, with: compute)
        case .quantized(let matrix):
            scratch.quantized.quantize(x, with: compute)
            matrix.multiply(scratch.quantized, into: y, adding: adding, with: compute)
        }
    }

    /// `y = norm(x) · Wᵀ`, where norm is ``Compute/normalize(_:weight:epsilon:to:)``.
    public func apply(
        normalized x: Matrix, weight: UnsafePointer<Float>, epsilon: Float, to y: Matrix, with compute: Compute,
        scratch: LinearScratch
    ) {
        switch self {
        case .float32(let matrix):
            let normalized = scratch.normalized.first(x.rows)
            compute.normalize(x, weight: weight, epsilon: epsilon, to: normalized)
            matrix.apply(normalized, to: y, with: compute)
        case .quantized(let matrix):
            scratch.quantized.quantize(normalized: x, weight: weight, epsilon: epsilon, with: compute)
            matrix.multiply(scratch.quantized, into: y, with: compute)
        }
    }

    /// Writes the weights of one output, dequantised, to `row`, which has ``inputs`` elements (an embedding lookup).
    public func copyRow(_ output: Int, to row: UnsafeMutableBufferPointer<Float>) {
        switch self {
        case .float32(let matrix): matrix.copyRow(output, to: row)
        case .quantized(let matrix): matrix.copyRow(output, to: row)
        }
    }
}
