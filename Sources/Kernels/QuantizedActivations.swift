// SPDX-License-Identifier: Apache-2.0
import CKernels

/// Rows of activations in int8, with a scale for every 32 values of a row: what a ``QuantizedMatrix`` multiplies.
///
/// Quantised once, they serve all matrices that take the same input. An element is off by at most half a step of its
/// block, `max|x| / 254` (and a rounding error of the order of 2⁻²⁴ of it). A block with an infinity or a NaN makes all
/// results of its row NaN; a block below 2⁻¹¹⁶ counts as zeros. One caller at a time.
public final class QuantizedActivations {
    /// Most rows.
    public let maxRows: Int
    /// Most columns, a multiple of 32.
    public let maxColumns: Int
    /// Rows that were last quantised.
    public private(set) var rows = 0
    /// Columns that were last quantised.
    public private(set) var columns = 0
    private let memory: ReservedMemory

    var tiles: UnsafeMutablePointer<UInt8> { memory.base.assumingMemoryBound(to: UInt8.self) }

    /// Room for up to `maxRows` rows of up to `maxColumns` values.
    ///
    /// - Throws: ``QuantizedError/invalidShape(rows:columns:)`` or ``QuantizedError/kernel(_:)``.
    public init(maxRows: Int, maxColumns: Int) throws(QuantizedError) {
        guard maxRows > 0, maxColumns > 0, maxColumns % QuantizedType.blockLength == 0 else {
            throw .invalidShape(rows: maxRows, columns: maxColumns)
        }
        self.maxRows = maxRows
        self.maxColumns = maxColumns
        // Less than two bytes a value.
        let fits = !maxRows.multipliedReportingOverflow(by: maxColumns).overflow && maxRows * maxColumns < Int.max / 2
        guard fits else { throw .kernel(.outOfMemory(bytes: Int.max, code: 12)) }
        let bytes = maxRows * (maxColumns / QuantizedType.blockLength) * Int(DKV_ACTIVATION_BYTES)
        do {
            memory = try ReservedMemory(count: bytes, hugePages: bytes >= 2 << 20)
        } catch {
            throw .kernel(error)
        }
        memory.populate(bytes)
    }

    /// Takes the values of `x`: at most ``maxRows`` rows of at most ``maxColumns`` columns, a multiple of 32. Allocates
    /// nothing.
    public func quantize(_ x: Matrix, with compute: Compute) {
        take(x, weight: nil, epsilon: 0, with: compute)
    }

    /// The same for the values of `x` after RMS normalisation by rows, as ``Compute/normalize(_:weight:epsilon:to:)`` computes
    /// it, without writing them anywhere.
    public func quantize(
        normalized x: Matrix, weight: UnsafePointer<Float>, epsilon: Float, with compute: Compute
    ) {
        take(x, weight: weight, epsilon: epsilon, with: compute)
    }

    private func take(_ x: Matrix, weight: UnsafePointer<Float>?, epsilon: Float, with compute: Compute) {
        reserve(rows: x.rows, columns: x.columns)
        var task = dkv_quantize()
        task.base = compute.kernels
        task.kernels = compute.quantizedKernels
        task.x = UnsafePointer(x.base)
        task.ldx = x.stride
        task.rows = rows
        task.blocks = columns / QuantizedType.blockLength
        task.weight = weight
        task.epsilon = epsilon
        task.tiles = tiles
        compute.pool.run(count: dkv_quantize_count(&task), context: &task, task: dkv_quantize_task)
    }

    /// Sets the shape of what is about to be written to ``tiles``.
    func reserve(rows: Int, columns: Int) {
        precondition(rows <= maxRows && columns <= maxColumns, "more activations than there is room for")
        precondition(columns % QuantizedType.blockLength == 0, "columns must be in blocks of 32")
        self.rows = rows
        self.columns = columns
    }
}
