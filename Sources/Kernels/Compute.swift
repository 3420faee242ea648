// SPDX-License-Identifier: Apache-2.0
import CKernels

/// The operations of a transformer step on one instruction set, run on one thread pool.
///
/// Each row's result depends only on that row (and, in attention, on the KV it may see): not on the other rows, the number
/// of threads or how a context was split. It may differ in the last bits between instruction sets.
public struct Compute: Sendable {
    /// Where loops run.
    public let pool: ThreadPool
    /// The kernels in use.
    public let instructionSet: InstructionSet
    // A constant table.
    nonisolated(unsafe) let kernels: UnsafePointer<dkv_kernels>

    var int8Kernels: UnsafePointer<dkv_int8_kernels> { dkv_int8_kernels_for(instructionSet.code) }
    var quantizedKernels: UnsafePointer<dkv_quantized_kernels> { dkv_quantized_kernels_for(instructionSet.code) }

    /// Operations on `pool` with the kernels for `instructionSet`, which the CPU must support.
    public init(pool: ThreadPool, instructionSet: InstructionSet = .best) {
        precondition(instructionSet <= .best, "this CPU does not support \(instructionSet.rawValue)")
        self.pool = pool
        self.instructionSet = instructionSet
        kernels = instructionSet.table
    }

    /// RMS normalisation by rows: `y = x / sqrt(mean(x²) + epsilon) · weight`. `weight` has a row's elements.
    public func normalize(_ x: Matrix, weight: UnsafePointer<Float>, epsilon: Float, to y: Matrix) {
        precondition(x.rows == y.rows && x.columns == y.columns, "shapes do not fit")
        var task = rowsTask(x, y)
        task.weight = weight
        task.epsilon = epsilon
        pool.run(count: dkv_rows_count(&task), context: &task, task: dkv_norm_task)
    }

    /// `y = silu(gate) · up`; a row of `x` is `[gate | up]`, each as long as a row of `y`.
    public func swiglu(_ x: Matrix, to y: Matrix) {
        precondition(x.rows == y.rows && x.columns == 2 * y.columns, "shapes do not fit")
        var task = rowsTask(x, y)
        pool.run(count: dkv_rows_count(&task), context: &task, task: dkv_swiglu_task)
    }

    /// Rotates Q and K of every row in place and writes K and V to their places in the pages of `layer`.
    ///
    /// A row of `qkv` is `[queries | keys | values]`, heads one after another. Rotation pairs element i of a head with element
    /// i + d / 2; `rotation` holds `[cosines | sines]` for each row, d elements. `slots` has an entry per row.
    public func rotateAndStore(
        _ qkv: Matrix, heads: Int, layer: Int, layout: KVLayout, rotation: UnsafePointer<Float>,
        slots: UnsafePointer<KVSlot>
    ) {
        precondition(qkv.columns == (heads + 2 * layout.kvHeads) * layout.headDimension, "shapes do not fit")
        precondition(layer >= 0 && layer < layout.layers, "layer out of range")
        var task = dkv_store(
            kernels: kernels, int8: int8Kernels, rows: qkv.rows, row_block: rowBlock(qkv.rows), qkv: qkv.base,
            ld: qkv.stride, heads: heads, layer: layer, shape: layout.shape, rotation: rotation, slots: slots)
        pool.run(count: dkv_store_count(&task), context: &task, task: dkv_store_task)
    }

    /// The same for rows `[keys | values]` of all layers, from the first on, in one loop.
    public func rotateAndStore(
        layers: [Matrix], layout: KVLayout, rotation: UnsafePointer<Float>, slots: UnsafePointer<KVSlot>
    ) {
        let columns = 2 * layout.kvHeads * layout.headDimension, rows = layers.first?.rows ?? 0
        precondition(layers.count <= layout.layers, "layer out of range")
        precondition(layers.allSatisfy { $0.columns == columns && $0.rows == rows }, "shapes do not fit")
        let stores = layers.enumerated().map { layer, matrix in
            store(matrix.base, ld: matrix.stride, rows: rows, layer: layer, layout, rotation, slots)
        }
        stores.withUnsafeBufferPointer { stores in
            var task = dkv_store_layers(stores: stores.baseAddress, count: stores.count)
            pool.run(count: dkv_store_layers_count(&task), context: &task, task: dkv_store_layers_task)
        }
    }

    /// The same for rows that whatever makes them hands over; they stay as they are.
    ///
    /// - Parameters:
    ///   - rows: Rows of each layer.
    ///   - body: Makes them; the sink is valid during the call.
    public func rotateAndStore<Failure: Error>(
        rows: Int, layout: KVLayout, rotation: UnsafePointer<Float>, slots: UnsafePointer<KVSlot>,
        from body: (RowSink) throws(Failure) -> Void
    ) throws(Failure) {
        let stores = UnsafeMutablePointer<dkv_store>.allocate(capacity: layout.layers)
        let context = UnsafeMutablePointer<dkv_store_layers>.allocate(capacity: 1)
        defer {
            stores.deallocate()
            context.deallocate()
        }
        for layer in 0..<layout.layers {
            stores[layer] = store(nil, ld: 0, rows: rows, layer: layer, layout, rotation, slots)
        }
        context.initialize(to: dkv_store_layers(stores: stores, count: layout.layers))
        try body(
            RowSink(
                put: dkv_store_rows, context: context, layers: layout.layers, rows: rows,
                columns: 2 * layout.kvHeads * layout.headDimension))
    }

    private func store(
        _ rows: UnsafeMutablePointer<Float>?, ld: Int, rows count: Int, layer: Int, _ layout: KVLayout,
        _ rotation: UnsafePointer<Float>, _ slots: UnsafePointer<KVSlot>
    ) -> dkv_store {
        dkv_store(
            kernels: kernels, int8: int8Kernels, rows: count, row_block: rowBlock(count), qkv: rows, ld: ld, heads: 0,
            layer: layer, shape: layout.shape, rotation: rotation, slots: slots)
    }

    private func rowsTask(_ x: Matrix, _ y: Matrix) -> dkv_rows {
        dkv_rows(
            kernels: kernels, rows: x.rows, row_block: rowBlock(x.rows), x: x.base, ldx: x.stride, weight: nil,
            epsilon: 0,
            y: y.base, ldy: y.stride, width: y.columns)
    }

    /// Rows of a task: a few, so that tasks outlast their handing out, and one task in all for a handful of rows.
    private func rowBlock(_ rows: Int) -> Int { rows <= 4 ? 4 : max(4, min(16, rows / (4 * pool.threads))) }
}
