// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// Runs a model over histories: once exactly, then over what policies leave of them.
///
/// Keys and values in the pages are fp32, so that only a policy's own rounding is measured, but where a policy asks for the pages
/// that jobs have. One caller at a time.
public final class HistoryRunner {
    /// Most tokens of a step.
    static let stepTokens = 512

    /// The model.
    public let model: LanguageModel
    /// The shape of its cache.
    public let shape: CacheShape
    private(set) var pass: ForwardPass
    private let exact: ForwardPass
    let threads: ThreadPool
    /// Pages of a whole context.
    let pages: [PageID]
    private let instructionSet: InstructionSet
    /// Where later tokens attend sparsely, if they do: after the history.
    private var sparseFrom = Int.max
    /// Attention to a part of the history, while a policy that selects is installed.
    private var selected: SelectedAttention?
    /// Tokens of the history that is installed.
    private var history = 0

    /// A runner for one sequence of up to the model's context length.
    ///
    /// - Throws: `InferenceError` if memory is refused.
    public init(model: LanguageModel, threads: ThreadPool) throws {
        self.model = model
        self.threads = threads
        shape = CacheShape(model.configuration)
        let count = KVPool.pages(forTokens: model.configuration.contextLength)
        let pool = try KVPool(configuration: model.configuration, dataType: .float32, pageCount: count)
        instructionSet = try InstructionSet.fromEnvironment()
        exact = try ForwardPass(
            model: model, pool: pool, threads: threads, maxRows: Self.stepTokens, instructionSet: instructionSet)
        pass = exact
        pages = pool.allocate(count) ?? []
    }

    /// A pass over pages of their own, as jobs have them. All its pages have the numbers that those of the exact one have.
    private func pass(with sparse: SparseAttention) throws -> ForwardPass {
        let pool = try KVPool(configuration: model.configuration, dataType: .int8, pageCount: pages.count)
        guard pool.allocate(pages.count).map(Set.init) == Set(pages) else {
            preconditionFailure("pools of one size have the same pages")
        }
        return try ForwardPass(
            model: model, pool: pool, threads: threads, maxRows: Self.stepTokens, instructionSet: instructionSet,
            sparse: sparse)
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
        selected = nil
        (pass, sparseFrom) = (exact, .max)
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
    ///
    /// - Throws: `KernelError` or `InferenceError` if memory is refused.
    public func install(_ compressed: CompressedHistory, of history: History) throws {
        (pass, sparseFrom) = try compressed.sparse.map { (try pass(with: $0), history.count) } ?? (exact, .max)
        let group = min(threads.threads, shape.layers), size = history.count * shape.rowWidth
        let memory = try ReservedMemory(count: group * size * 4)
        nonisolated(unsafe) let scratch = (0..<group).map {
            Matrix(memory.floats() + $0 * size, rows: history.count, columns: shape.rowWidth)
        }
        try select(with: compressed.selector, of: history)
        for first in stride(from: 0, to: shape.layers, by: group) {
            let count = min(group, shape.layers - first)
            threads.run(count: count) { index in
                let exact = history.rows(layer: first + index)
                scratch[index].base.update(from: exact.base, count: size)
                compressed.restore?(first + index, scratch[index])
            }
            for index in 0..<count { store(scratch[index], layer: first + index) }
        }
    }

    private func select(with selector: (any TokenSelector)?, of history: History) throws(KernelError) {
        self.history = history.count
        selected = nil
        guard let selector else { return }
        selected = try SelectedAttention(
            shape: shape, threads: threads, instructionSet: instructionSet, selector: selector, history: history.count,
            later: model.configuration.contextLength - history.count + Self.stepTokens)
    }

    private func store(_ rows: Matrix, layer: Int) {
        for first in stride(from: 0, to: rows.rows, by: Self.stepTokens) {
            let count = min(Self.stepTokens, rows.rows - first)
            let piece = Matrix(rows.base + first * rows.stride, rows: count, columns: rows.columns, stride: rows.stride)
            let rotated = pass.store(piece, layer: layer, position: first, pages: pages)
            selected?.load(rotated, layer: layer, position: first)
        }
        selected?.prepare(layer: layer)
    }

    /// Computes tokens over what lies before them and hands over the logits after each.
    public func score(
        _ tokens: ArraySlice<Int32>, position: Int, logits: (_ position: Int, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        for first in stride(from: 0, to: tokens.count, by: Self.stepTokens) {
            let piece = Array(tokens.dropFirst(first).prefix(Self.stepTokens))
            let segment = Segment(
                tokens: piece, position: position + first, pages: pages, wantsLogits: true, sparseFrom: sparseFrom)
            selected?.spans = [
                .init(row: 0, count: piece.count, slot: position + first, start: history)
            ]
            if let selected { pass.tap = selected }
            try pass.runAll([segment]) { try logits(position + first + $1, $2) }
        }
    }

    /// Computes several continuations of one history, which do not see each other, and hands over the logits after each token.
    ///
    /// - Parameters:
    ///   - continuations: Each of at most ``stepTokens`` tokens.
    ///   - position: Tokens of the history, a whole number of KV pages.
    ///   - logits: Called with the continuation's index and the token's index in it.
    func scoreApart(
        _ continuations: [ArraySlice<Int32>], position: Int,
        logits: (_ index: Int, _ token: Int, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        precondition(position % KVPool.pageTokens == 0, "continuations would share a page")
        let shared = pages.prefix(position / KVPool.pageTokens)
        var first = 0
        while first < continuations.count {
            var segments: [Segment] = [], spans: [SelectedAttention.Span] = [], row = 0,
                free = pages.dropFirst(shared.count)
            for tokens in continuations[first...] {
                let own = KVPool.pages(forTokens: tokens.count)
                guard row + tokens.count <= Self.stepTokens, own <= free.count else { break }
                segments.append(
                    Segment(
                        tokens: Array(tokens), position: position, pages: Array(shared) + Array(free.prefix(own)),
                        wantsLogits: true, sparseFrom: sparseFrom))
                spans.append(.init(row: row, count: tokens.count, slot: position + row, start: position + row))
                row += tokens.count
                free = free.dropFirst(own)
            }
            precondition(!segments.isEmpty, "a continuation does not fit a step")
            selected?.spans = spans
            if let selected { pass.tap = selected }
            try pass.runAll(segments) { try logits(first + $0, $1, $2) }
            first += segments.count
        }
    }
}
