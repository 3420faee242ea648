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
        _ x: Matrix, to y: Matrix, adding: Bool = false, with compute: Compute, scratch: QuantizedActivations
    ) {
        switch self {
        case .float32(let matrix): matrix.apply(x, to: y, adding: adding, with: compute)
        case .quantized(let matrix):
            scratch.quantize(x, with: compute)
            matrix.multiply(scratch, into: y, adding: adding, with: compute)
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

/// fp32 weights as `[ceil(outputs / 32)][inputs][32]`, padded with zeros: a panel is read front to back, once for a tile of
/// rows, and needs no packing at run time.
public final class PackedMatrix: Sendable {
    /// Inputs of the layer.
    public let inputs: Int
    /// Outputs of the layer.
    public let outputs: Int
    private let memory: ReservedMemory
    private static let panel = Int(DKV_PANEL)

    /// An all-zero matrix, to be filled with ``setRow(_:_:)`` before it is shared.
    ///
    /// - Throws: ``KernelError/outOfMemory(bytes:code:)``.
    public init(inputs: Int, outputs: Int) throws(KernelError) {
        precondition(inputs > 0 && outputs > 0, "an empty layer")
        let panels = (outputs + Self.panel - 1) / Self.panel
        let (elements, tooMany) = inputs.multipliedReportingOverflow(by: panels * Self.panel)
        let (bytes, tooLarge) = elements.multipliedReportingOverflow(by: MemoryLayout<Float>.stride)
        guard !tooMany, !tooLarge else { throw .outOfMemory(bytes: Int.max, code: 12) }
        self.inputs = inputs
        self.outputs = outputs
        memory = try ReservedMemory(count: bytes, hugePages: true)
    }

    /// Sets the weights of one output. `row` has ``inputs`` elements.
    public func setRow(_ output: Int, _ row: UnsafeBufferPointer<Float>) {
        precondition(output >= 0 && output < outputs && row.count == inputs, "row out of range")
        let place = element(output)
        for i in 0..<inputs { place[i * Self.panel] = row[i] }
    }

    func copyRow(_ output: Int, to row: UnsafeMutableBufferPointer<Float>) {
        precondition(output >= 0 && output < outputs && row.count == inputs, "row out of range")
        let place = element(output)
        for i in 0..<inputs { row[i] = place[i * Self.panel] }
    }

    private func element(_ output: Int) -> UnsafeMutablePointer<Float> {
        memory.floats() + (output / Self.panel * inputs * Self.panel + output % Self.panel)
    }

    func apply(_ x: Matrix, to y: Matrix, adding: Bool = false, with compute: Compute) {
        precondition(x.columns == inputs && y.columns == outputs && x.rows == y.rows, "shapes do not fit")
        guard x.rows > 0 else { return }
        var task = dkv_linear(
            kernels: compute.kernels, x: x.base, ldx: x.stride, rows: x.rows, panels: memory.floats(), inputs: inputs,
            outputs: outputs, y: y.base, ldy: y.stride, accumulate: adding, row_block: Self.rowBlock,
            panel_block: panelBlock(rows: x.rows, threads: compute.pool.threads))
        compute.pool.run(count: dkv_linear_count(&task), context: &task, task: dkv_linear_task)
    }

    /// A multiple of the largest tile; a panel then stays in the second-level cache while the block's rows pass by.
    private static let rowBlock = 192

    /// Panels of a task: at least 256 KiB of weights for few rows so that handing out tasks does not show, but enough tasks
    /// to balance the threads.
    private func panelBlock(rows: Int, threads: Int) -> Int {
        guard rows <= 16 else { return 1 }
        let panels = (outputs + Self.panel - 1) / Self.panel
        return max(1, min(65536 / (inputs * Self.panel), panels / (threads * 6)))
    }
}
