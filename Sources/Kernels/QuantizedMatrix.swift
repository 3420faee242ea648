// SPDX-License-Identifier: Apache-2.0
import CKernels

/// A weight matrix W of `rows` outputs × `columns` inputs that stays in the bits of its GGUF blocks, repacked once so
/// that vector instructions work on 16 rows at a time (see `quantized.h`). It takes the memory that the file does,
/// apart from rows added to make their number a multiple of 16.
///
/// Products are the same bits on every instruction set and for any number of threads, and a row's result does not
/// depend on the other rows of the batch: the order of summation is fixed in `quantized.h`.
public final class QuantizedMatrix: Sendable {
    /// How the weights are stored.
    public let type: QuantizedType
    /// Outputs.
    public let rows: Int
    /// Inputs, a multiple of 32.
    public let columns: Int
    private let memory: ReservedMemory

    /// Bytes in memory.
    public var byteCount: Int { memory.count }

    /// A matrix whose rows are asked for one by one, in order, so that several tensors can be put in one matrix and
    /// rows can change places.
    ///
    /// - Parameter blocksOfRow: The GGUF blocks of a row; they are copied before the next row is asked for.
    /// - Throws: ``QuantizedError``.
    public init(
        type: QuantizedType, rows: Int, columns: Int, blocksOfRow: (_ row: Int) -> UnsafeRawBufferPointer
    ) throws(QuantizedError) {
        guard rows > 0, columns > 0, columns % QuantizedType.blockLength == 0 else {
            throw .invalidShape(rows: rows, columns: columns)
        }
        let blocks = columns / QuantizedType.blockLength
        self.type = type
        self.rows = rows
        self.columns = columns
        memory = try Self.reserve(type: type, rows: rows, blocks: blocks)
        let panels = memory.base.assumingMemoryBound(to: UInt8.self)
        for row in 0..<rows {
            let source = blocksOfRow(row)
            guard let start = source.baseAddress, source.count == blocks * type.blockBytes else {
                throw .wrongByteCount(row: row, expected: blocks * type.blockBytes, found: source.count)
            }
            let packed = dkv_quantized_pack_row(type.code, blocks, panels, row, start)
            guard packed == blocks else { throw .nonFiniteScale(row: row, block: packed) }
        }
    }

    /// A matrix from the GGUF blocks of all its rows, one row after another, which are copied.
    ///
    /// - Throws: ``QuantizedError``.
    public convenience init(
        type: QuantizedType, rows: Int, columns: Int, blocks bytes: UnsafeRawBufferPointer
    ) throws(QuantizedError) {
        try self.init(type: type, rows: rows, columns: columns) { row in
            // Missing bytes and bytes too many are handed over as they are, and refused.
            let rowBytes = columns / QuantizedType.blockLength * type.blockBytes
            let (start, overflow) = row.multipliedReportingOverflow(by: rowBytes)
            guard !overflow, start < bytes.count else { return UnsafeRawBufferPointer(start: nil, count: 0) }
            let last = row == rows - 1 ? bytes.count : min(bytes.count, start + rowBytes)
            return UnsafeRawBufferPointer(rebasing: bytes[start..<last])
        }
    }

    /// `y = x · Wᵀ`, or `y += x · Wᵀ` if `adding`, for all rows of the activations, which have ``columns`` columns.
    /// `y` is [activation rows][``rows``]. Allocates nothing.
    public func multiply(_ x: QuantizedActivations, into y: Matrix, adding: Bool = false, with compute: Compute) {
        precondition(x.columns == columns && y.columns == rows && x.rows == y.rows, "shapes do not fit")
        var product = product(of: x, compute)
        product.y = y.base
        product.ldy = y.stride
        product.accumulate = adding
        run(&product, compute)
    }

    /// Whether ``multiplyGated(_:into:with:)`` can be used: both halves of the outputs are whole blocks of 32.
    public var canGate: Bool { rows % (2 * QuantizedType.blockLength) == 0 }

    /// `silu(x · Gᵀ) · (x · Uᵀ)`, quantised: [activation rows][``rows`` / 2], where G is the first half of the outputs and U
    /// the second. The same bits as ``multiply(_:into:adding:with:)``, ``Compute/swiglu(_:to:)`` and quantisation one after
    /// another, but intermediate values stay in the cache. Allocates nothing.
    public func multiplyGated(_ x: QuantizedActivations, into y: QuantizedActivations, with compute: Compute) {
        precondition(x.columns == columns && canGate && x !== y, "shapes do not fit")
        y.reserve(rows: x.rows, columns: rows / 2)
        var product = product(of: x, compute)
        product.gated = y.tiles
        run(&product, compute)
    }

    private func product(of x: QuantizedActivations, _ compute: Compute) -> dkv_quantized_product {
        var product = dkv_quantized_product()
        product.base = compute.kernels
        product.kernels = compute.quantizedKernels
        product.matrix = descriptor
        product.tiles = UnsafePointer(x.tiles)
        product.rows = x.rows
        return product
    }

    private func run(_ product: inout dkv_quantized_product, _ compute: Compute) {
        guard product.rows > 0 else { return }
        dkv_quantized_plan(&product, compute.pool.threads)
        compute.pool.run(count: dkv_quantized_count(&product), context: &product, task: dkv_quantized_task)
    }

    /// Writes the weights of one row as floats, bit for bit as GGUF dequantises them, to `output`, which has
    /// ``columns`` elements (an embedding lookup).
    public func copyRow(_ row: Int, to output: UnsafeMutableBufferPointer<Float>) {
        precondition(row >= 0 && row < rows && output.count == columns, "row out of range")
        var matrix = descriptor
        if let start = output.baseAddress { dkv_quantized_unpack_row(&matrix, row, start) }
    }

    private var descriptor: dkv_quantized_matrix {
        let blocks = columns / QuantizedType.blockLength
        return dkv_quantized_matrix(
            type: type.code, outputs: rows, blocks: blocks, panel_bytes: dkv_quantized_panel_bytes(type.code, blocks),
            panels: UnsafePointer(memory.base.assumingMemoryBound(to: UInt8.self)))
    }

    private static func reserve(type: QuantizedType, rows: Int, blocks: Int) throws(QuantizedError) -> ReservedMemory {
        let panels = (rows - 1) / Int(DKV_QUANTIZED_PANEL) + 1
        // A panel is less than 1024 bytes a block.
        let fits = blocks < Int.max >> 12 && !panels.multipliedReportingOverflow(by: blocks * 1024).overflow
        guard fits else { throw .kernel(.outOfMemory(bytes: Int.max, code: 12)) }
        let bytes = panels * dkv_quantized_panel_bytes(type.code, blocks)
        do {
            return try ReservedMemory(count: bytes, hugePages: bytes >= 2 << 20)
        } catch {
            throw .kernel(error)
        }
    }
}
