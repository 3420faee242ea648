// SPDX-License-Identifier: Apache-2.0
import CKernels

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

    /// `y = x · Wᵀ`, or `y += x · Wᵀ` if `adding`. `x` is [rows][inputs], `y` [rows][outputs].
    public func apply(_ x: Matrix, to y: Matrix, adding: Bool = false, with compute: Compute) {
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
