// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// Runs a model over histories: once exactly, then over what policies leave of them.
///
/// Keys and values in the pages are fp32, so that only a policy's own rounding is measured. One caller at a time.
public final class HistoryRunner {
    /// Most tokens of a step.
    static let stepTokens = 512

    /// The model.
    public let model: LanguageModel
    /// The shape of its cache.
    public let shape: CacheShape
    let pass: ForwardPass
    let threads: ThreadPool
    /// Pages of a whole context.
    let pages: [PageID]

    /// A runner for one sequence of up to the model's context length.
    ///
    /// - Throws: `InferenceError` if memory is refused.
    public init(model: LanguageModel, threads: ThreadPool) throws {
        self.model = model
        self.threads = threads
        shape = CacheShape(model.configuration)
        let count = KVPool.pages(forTokens: model.configuration.contextLength)
        let pool = try KVPool(configuration: model.configuration, dataType: .float32, pageCount: count)
        pass = try ForwardPass(model: model, pool: pool, threads: threads, maxRows: Self.stepTokens)
        pages = pool.allocate(count) ?? []
    }

    /// Computes tokens exactly from position 0, recording keys and values.
    ///
    /// - Parameters:
    ///   - scored: Ranges of positions whose logits are wanted.
    ///   - logits: Called with the position, in order.
    public func prefill(
        _ tokens: ArraySlice<Int32>, recorder: HistoryRecorder, scored: [Range<Int>] = [],
        logits: (_ position: Int, UnsafeBufferPointer<Float>) throws -> Void = { _, _ in }
    ) throws {
        pass.tap = recorder
        defer { pass.tap = nil }
        let cuts = Set(scored.flatMap { [$0.lowerBound, $0.upperBound] }).filter { $0 < tokens.count }
        var position = 0
        while position < tokens.count {
            let next = cuts.filter { $0 > position }.min() ?? tokens.count
            let end = min(position + Self.stepTokens, next)
            recorder.position = position
            let piece = tokens.dropFirst(position).prefix(end - position)
            if scored.contains(where: { $0.contains(position) }) {
                try score(piece, position: position) { try logits($0, $1) }
            } else {
                let segment = Segment(tokens: Array(piece), position: position, pages: pages, wantsLogits: false)
                try pass.run([segment]) { _, _ in }
            }
            position = end
        }
    }

    /// Puts a compressed history in the place of the exact one.
    public func install(_ compressed: CompressedHistory, of history: History) throws(KernelError) {
        let group = min(threads.threads, shape.layers), size = history.count * shape.rowWidth
        let memory = try ReservedMemory(count: group * size * 4)
        nonisolated(unsafe) let scratch = (0..<group).map {
            Matrix(memory.floats() + $0 * size, rows: history.count, columns: shape.rowWidth)
        }
        for first in stride(from: 0, to: shape.layers, by: group) {
            let count = min(group, shape.layers - first)
            threads.run(count: count) { index in
                let exact = history.rows(layer: first + index)
                scratch[index].base.update(from: exact.base, count: size)
                compressed.restore(first + index, scratch[index])
            }
            for index in 0..<count { store(scratch[index], layer: first + index) }
        }
    }

    private func store(_ rows: Matrix, layer: Int) {
        for first in stride(from: 0, to: rows.rows, by: Self.stepTokens) {
            let count = min(Self.stepTokens, rows.rows - first)
            let piece = Matrix(rows.base + first * rows.stride, rows: count, columns: rows.columns, stride: rows.stride)
            pass.store(piece, layer: layer, position: first, pages: pages)
        }
    }

    /// Computes tokens over what lies in the pages before them and hands over the logits after each.
    public func score(
        _ tokens: ArraySlice<Int32>, position: Int, logits: (_ position: Int, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        for first in stride(from: 0, to: tokens.count, by: Self.stepTokens) {
            let piece = Array(tokens.dropFirst(first).prefix(Self.stepTokens))
            let segment = Segment(tokens: piece, position: position + first, pages: pages, wantsLogits: true)
            try pass.runAll([segment]) { try logits(position + first + $1, $2) }
        }
    }
}
