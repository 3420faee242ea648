// SPDX-License-Identifier: Apache-2.0
import Kernels

/// The activations of a step, allocated once for the largest step.
struct Workspace {
    /// Residual stream, [rows][hidden].
    let residual: Matrix
    /// [rows][queries | keys | values].
    let queryKeyValue: Matrix
    /// Attention's result, [rows][heads · head dimension].
    let attended: Matrix
    /// [rows][cosines | sines].
    let rotation: Matrix
    /// Logits of rows that are computed together, [headRows][vocabulary].
    let logits: Matrix
    /// What layers need inside.
    let scratch: LinearScratch
    /// Where each row's K and V go.
    let slots: UnsafeMutablePointer<KVSlot>
    /// The page tables of all segments, one after another.
    let pages: UnsafeMutablePointer<KVPage>
    private let memory: ReservedMemory

    /// Rows of logits computed at once: enough that the head's weights are read for many rows, few enough to stay small.
    static let headRows = 32

    init(_ c: ModelConfiguration, rows: Int) throws(KernelError) {
        let heads = c.heads * c.headDimension, keys = c.kvHeads * c.headDimension
        let headRows = min(rows, Self.headRows)
        let pageCapacity = rows * KVPool.pages(forTokens: c.contextLength)
        scratch = try LinearScratch(
            rows: rows, hidden: c.hidden, feedForward: c.feedForward, widest: max(c.hidden, heads, c.feedForward))
        let layout = MatrixLayout([
            (rows, c.hidden), (rows, heads + 2 * keys), (rows, heads), (rows, c.headDimension),
            (headRows, c.vocabulary),
        ])
        let slotBytes = rows * MemoryLayout<KVSlot>.stride
        memory = try ReservedMemory(
            count: layout.byteCount + slotBytes + pageCapacity * MemoryLayout<KVPage>.stride, hugePages: true)
        memory.populate(layout.byteCount)
        let views = layout.matrices(in: memory.base)
        (residual, queryKeyValue, attended, logits) = (views[0], views[1], views[2], views[4])
        // Rows of angles are read as one dense table.
        rotation = Matrix(views[3].base, rows: rows, columns: c.headDimension)
        slots = (memory.base + layout.byteCount).assumingMemoryBound(to: KVSlot.self)
        pages = (memory.base + layout.byteCount + slotBytes).assumingMemoryBound(to: KVPage.self)
    }
}
