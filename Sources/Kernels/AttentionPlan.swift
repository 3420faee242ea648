// SPDX-License-Identifier: Apache-2.0
import CKernels

/// Consecutive query rows of one sequence in a batch.
public struct AttentionSpan {
    /// The sequence's page table: the place of each page; covers all positions up to the last row's.
    public let pages: UnsafePointer<KVPage>
    /// First row in the batch.
    public let row: Int
    /// Number of rows.
    public let count: Int
    /// Position of the first row's token; the others follow.
    public let position: Int
    /// Whether the rows attend to a part of the tokens, if the plan was made so.
    public let isSparse: Bool

    /// A span.
    public init(
        pages: UnsafePointer<KVPage>, row: Int, count: Int, position: Int, isSparse: Bool = false
    ) {
        self.pages = pages
        self.row = row
        self.count = count
        self.position = position
        self.isSparse = isSparse
    }
}

/// The split of a batch's attention into pieces of work, made once per step and used by every layer.
///
/// Long contexts of few rows are split at chunk borders; because chunks are reduced apart and merged in order anyway, the
/// split changes no bit of the result. Rows that attend to a part of their context are a piece each. Memory is allocated once, for a
/// number of rows.
public final class AttentionPlan {
    private let layout: KVLayout
    private let group: Int
    private let compute: Compute
    // Rows of a piece; of int8 pages as many as leave pieces for all threads, since they share the work of taking pages apart.
    private var tile: Int
    private let sparse: SparseAttention?
    // [layers][KV heads], or empty.
    private let local: [Bool]
    // Floats of a thread.
    private let scratchSize: Int
    // Pieces of contexts that a plan has room for, next to one whole piece per row and KV head.
    private let splitCapacity: Int
    private let partialCapacity: Int
    private let memory: ReservedMemory
    private let units: UnsafeMutablePointer<dkv_attention_unit>
    private let folds: UnsafeMutablePointer<dkv_attention_fold>
    private let partials: UnsafeMutablePointer<Float>
    private let scratch: UnsafeMutablePointer<Float>
    private var unitCount = 0
    private var foldCount = 0
    private var partialCount = 0

    /// A plan for batches of up to `maxRows` rows of `heads` query heads over KV of `layout`.
    ///
    /// - Parameters:
    ///   - sparse: What the rows of sparse spans attend to, over int8 keys and values and without a window; nil: to everything. Its local heads,
    ///     if it has any, are those of as many layers as the layout's.
    ///   - contextLength: The most tokens that such a row sees.
    /// - Throws: ``KernelError/outOfMemory(bytes:code:)``.
    public init(
        layout: KVLayout, heads: Int, maxRows: Int, compute: Compute, sparse: SparseAttention? = nil,
        contextLength: Int = 0
    ) throws(KernelError) {
        precondition(heads > 0 && heads % layout.kvHeads == 0 && maxRows > 0, "unsupported shape")
        self.layout = layout
        self.compute = compute
        group = heads / layout.kvHeads
        precondition(group <= KVLayout.largestGroup, "too many query heads share a KV head")
        tile = Int(DKV_TILE_ROWS) / group
        self.sparse = layout.dataType == .int8 ? sparse : nil
        let heads = sparse?.local ?? []
        precondition(
            heads.isEmpty || heads.count == layout.layers && heads.allSatisfy { $0.count == layout.kvHeads },
            "local heads of another model")
        local = Array(heads.joined())
        scratchSize = dkv_attention_scratch(layout.headDimension, self.sparse == nil ? 0 : contextLength)
        splitCapacity = 1024 + 64 * compute.pool.threads
        let unitCapacity = maxRows * layout.kvHeads + splitCapacity
        partialCapacity = Self.wholeLines(splitCapacity * Int(DKV_TILE_ROWS) * (layout.headDimension + 2))
        let unitBytes = Self.wholeLines(unitCapacity * MemoryLayout<dkv_attention_unit>.stride)
        let foldBytes = Self.wholeLines(unitCapacity * MemoryLayout<dkv_attention_fold>.stride)
        let scratchFloats = compute.pool.threads * scratchSize
        memory = try ReservedMemory(count: unitBytes + foldBytes + 4 * (partialCapacity + scratchFloats))
        units = memory.base.assumingMemoryBound(to: dkv_attention_unit.self)
        folds = (memory.base + unitBytes).assumingMemoryBound(to: dkv_attention_fold.self)
        partials = memory.floats(at: unitBytes + foldBytes)
        scratch = partials + partialCapacity
    }

    /// Parts of the memory start at cache lines.
    private static func wholeLines(_ count: Int) -> Int { (count + 63) / 64 * 64 }

    /// Forgets the last batch and plans a new one. The spans' rows together are at most `maxRows`. Allocates nothing.
    public func prepare(_ spans: [AttentionSpan]) {
        (unitCount, foldCount, partialCount) = (0, 0, 0)
        tile = rows(ofPiecesFor: spans)
        // A piece that is longer than a thread's share of several would leave the others idle at the end.
        let all = spans.reduce(0) { $0 + work(of: $1) } * layout.kvHeads
        let longest = compute.pool.threads > 1 ? all / (4 * compute.pool.threads) : .max
        for span in spans {
            if span.isSparse, let sparse {
                addRows(of: span, sparse, longest)
                continue
            }
            for first in stride(from: 0, to: span.count, by: tile) {
                let rows = min(tile, span.count - first)
                let split = rows * chunks(of: span, through: first + rows) > longest
                for head in 0..<layout.kvHeads { add(span, first: first, rows: rows, head: head, split: split) }
            }
        }
    }

    private func rows(ofPiecesFor spans: [AttentionSpan]) -> Int {
        guard layout.dataType == .int8 else { return Int(DKV_TILE_ROWS) / group }
        // Rows that attend to a part of their context are pieces by themselves. Those of a long one can be split into chunks,
        // if there is room for what comes of them.
        var rows = 0, inChunks = 0
        for span in spans where !span.isSparse || sparse == nil {
            rows += span.count
            inChunks += span.count * chunks(of: span, through: span.count)
        }
        let fits = inChunks * layout.kvHeads * group * (layout.headDimension + 2) <= partialCapacity
        let share = (fits ? inChunks : rows) * layout.kvHeads / (4 * compute.pool.threads)
        let most = Int(DKV_UNIT_ROWS) / group
        // Whole tiles, so that none is cut short.
        let tiles = max(1, min(share, most) * group / Int(DKV_TILE_ROWS))
        return tiles * Int(DKV_TILE_ROWS) / group
    }

    /// Adds rows that each attend to a part of their context.
    private func addRows(of span: AttentionSpan, _ sparse: SparseAttention, _ longest: Int) {
        for row in 0..<span.count {
            let kept = sparse.kept(of: span.position + row + 1)
            let split = kept == nil && chunks(of: span, through: row + 1) > longest
            for head in 0..<layout.kvHeads { add(span, first: row, rows: 1, head: head, split: split, kept: kept ?? 0) }
        }
    }

    /// Chunks of context that the first `rows` rows of a span see.
    private func chunks(of span: AttentionSpan, through rows: Int) -> Int {
        (span.position + rows + KVLayout.chunkTokens - 1) / KVLayout.chunkTokens
    }

    /// Rows times chunks of a span and one head.
    private func work(of span: AttentionSpan) -> Int {
        stride(from: 0, to: span.count, by: tile).reduce(0) { sum, first in
            let rows = min(tile, span.count - first)
            return sum + rows * chunks(of: span, through: first + rows)
        }
    }

    private func add(_ span: AttentionSpan, first: Int, rows: Int, head: Int, split: Bool, kept: Int = 0) {
        let chunks = chunks(of: span, through: first + rows)
        var unit = dkv_attention_unit(
            pages: span.pages, row: span.row + first, rows: rows, position: span.position + first, kv_head: head,
            first_chunk: 0, last_chunk: chunks, partial: nil, kept: kept)
        let size = rows * group * (layout.headDimension + 2)
        let fits = partialCount + chunks * size <= partialCapacity && unitCount + chunks <= splitCapacity
        guard split, chunks > 1, fits else {
            units[unitCount] = unit
            unitCount += 1
            return
        }
        folds[foldCount] = dkv_attention_fold(
            row: unit.row, rows: rows, kv_head: head, chunks: chunks, partials: partials + partialCount)
        foldCount += 1
        for chunk in 0..<chunks {
            unit.first_chunk = chunk
            unit.last_chunk = chunk + 1
            unit.partial = partials + partialCount
            partialCount += size
            units[unitCount] = unit
            unitCount += 1
        }
    }

    /// Causal attention of the prepared batch in `layer`: `queries` rows start with the rotated query heads; `y` is
    /// [rows][heads · head dimension]. K and V of the batch's own tokens are already in the pages.
    ///
    /// - Parameter window: How many tokens a row sees, itself among them; nil: all before it.
    public func run(layer: Int, window: Int? = nil, queries: Matrix, to y: Matrix) {
        precondition((window ?? 1) > 0, "an empty window")
        precondition(layer >= 0 && layer < layout.layers, "layer out of range")
        precondition(
            y.columns == layout.kvHeads * group * layout.headDimension && queries.columns >= y.columns, "shapes")
        var task = dkv_attention(
            kernels: compute.kernels, int8: compute.int8Kernels, shape: layout.shape, group: group, layer: layer,
            window: window ?? 0, local: nil, scale: 1 / Float(layout.headDimension).squareRoot() * 1.442_695_04,
            queries: queries.base,
            ldq: queries.stride, y: y.base,
            ldy: y.stride, units: units, folds: folds, scratch: scratch, scratch_size: scratchSize)
        local.withUnsafeBufferPointer { local in
            // An empty array's address is of no use, and need not be nil.
            task.local = local.isEmpty ? nil : local.baseAddress.map { $0 + layer * layout.kvHeads }
            compute.pool.run(count: unitCount, context: &task, task: dkv_attention_task)
        }
        compute.pool.run(count: foldCount, context: &task, task: dkv_attention_fold_task)
    }
}
