// SPDX-License-Identifier: Apache-2.0
import Kernels

/// The activations of a step, allocated once for the largest step. Memory is touched only as far as steps use it.
struct Workspace {
    /// Residual stream, [rows][hidden].
    let residual: Matrix
    /// Normalised residual, [rows][hidden].
    let normalized: Matrix
    /// [rows][queries | keys | values].
    let queryKeyValue: Matrix
    /// Attention's result, [rows][heads · head dimension].
    let attended: Matrix
    /// [rows][gate | up].
    let gateUp: Matrix
    /// [rows][feedForward].
    let activated: Matrix
    /// [rows][cosines | sines].
    let rotation: Matrix
    /// Rows whose logits are computed together, [headRows][hidden], and their logits, [headRows][vocabulary].
    let headInput: Matrix
    let logits: Matrix
    /// Where each row's K and V go.
    let slots: UnsafeMutablePointer<KVSlot>
    /// The page tables of all segments, one after another.
    let pages: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    /// A product's input in int8.
    let quantized: QuantizedActivations
    private let memory: ReservedMemory

    /// Rows of logits computed at once: enough that the head's weights are read for many rows, few enough to stay small.
    static let headRows = 32

    init(_ c: ModelConfiguration, rows: Int) throws(KernelError) {
        let heads = c.heads * c.headDimension, keys = c.kvHeads * c.headDimension
        let headRows = min(rows, Self.headRows)
        let pagesOfSequence = KVPool.pages(forTokens: c.contextLength)
        let pageCapacity = rows * pagesOfSequence
        quantized = try Self.activations(rows: rows, widest: max(c.hidden, heads, c.feedForward))
        let shapes = [
            (rows, c.hidden), (rows, c.hidden), (rows, heads + 2 * keys), (rows, heads), (rows, 2 * c.feedForward),
            (rows, c.feedForward), (rows, c.headDimension), (headRows, c.hidden), (headRows, c.vocabulary),
        ]
        let floats = shapes.reduce(0) { $0 + $1.0 * Self.stride($1.1) }
        let slotBytes = rows * MemoryLayout<KVSlot>.stride
        memory = try ReservedMemory(count: floats * 4 + slotBytes + pageCapacity * MemoryLayout<Int>.stride)
        var offset = 0
        let views = shapes.map { [memory] (rows, columns) in
            defer { offset += rows * Self.stride(columns) * 4 }
            return Matrix(memory.floats(at: offset), rows: rows, columns: columns, stride: Self.stride(columns))
        }
        (residual, normalized, queryKeyValue, attended) = (views[0], views[1], views[2], views[3])
        (gateUp, activated, headInput, logits) = (views[4], views[5], views[7], views[8])
        // Rows of angles are read as one dense table.
        rotation = Matrix(views[6].base, rows: rows, columns: c.headDimension)
        slots = (memory.base + offset).assumingMemoryBound(to: KVSlot.self)
        pages = (memory.base + offset + slotBytes).assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self)
    }

    private static func activations(rows: Int, widest: Int) throws(KernelError) -> QuantizedActivations {
        let block = QuantizedType.blockLength
        do {
            return try QuantizedActivations(maxRows: rows, maxColumns: (widest + block - 1) / block * block)
        } catch .kernel(let error) {
            throw error
        } catch {
            throw .outOfMemory(bytes: Int.max, code: 12)
        }
    }

    /// Rows start at cache lines, and one line more keeps rows of a tile off the same cache sets when their length is a
    /// multiple of a large power of two.
    private static func stride(_ columns: Int) -> Int { (columns + 15) / 16 * 16 + 16 }
}
