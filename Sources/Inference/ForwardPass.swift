// SPDX-License-Identifier: Apache-2.0
import Kernels

/// Computes steps of a model: mixed batches of prefill chunks and decodes over a paged KV cache.
///
/// A token's K, V and logits depend only on its sequence and on where in it attention is sparse: they are the same bits whatever
/// else is in the step, however the prompt is cut into chunks, and for any number of threads (on one instruction set and KV type). Memory is taken when the
/// object is made; a step allocates no activations. One caller at a time.
public final class ForwardPass {
    /// The model.
    public let model: LanguageModel
    /// Where K and V are kept.
    public let pool: KVPool
    /// Most tokens of a step.
    public let maxRows: Int
    /// Sees and may replace what layers compute; nil while jobs run.
    public weak var tap: (any LayerTap)?
    /// Where loops run.
    public let compute: Compute
    /// Where the time of all steps so far went.
    public private(set) var times = StepTimes()
    private let work: Workspace
    private let attention: AttentionPlan
    private let angles: RotaryAngles
    private var spans: [AttentionSpan] = []
    // Of each segment, the index of its first span.
    private var segmentSpans: [Int] = []
    private var wanted: [LogitsRow] = []
    private var wantedSpans: [AttentionSpan] = []

    /// A forward pass for steps of up to `maxRows` tokens.
    ///
    /// - Parameters:
    ///   - instructionSet: By default what `DELTAKV_ISA` asks for, or the best of this CPU.
    ///   - sparse: What tokens from ``Segment/sparseFrom`` on attend to, over int8 keys and values; nil: to everything.
    /// - Throws: ``InferenceError/kernel(_:)`` if memory is refused or `DELTAKV_ISA` is wrong.
    public init(
        model: LanguageModel, pool: KVPool, threads: ThreadPool, maxRows: Int, instructionSet: InstructionSet? = nil,
        sparse: SparseAttention? = nil
    ) throws(InferenceError) {
        let c = model.configuration
        guard (1...(1 << 20)).contains(maxRows) else { throw .tooManyRows(maxRows, limit: 1 << 20) }
        precondition(
            pool.layout.layers == c.layers && pool.layout.kvHeads == c.kvHeads
                && pool.layout.headDimension == c.headDimension, "the pool was made for another model")
        self.model = model
        self.pool = pool
        self.maxRows = maxRows
        do throws(KernelError) {
            angles = try RotaryAngles(
                RotaryFrequencies(
                    headDimension: c.headDimension, theta: c.ropeTheta, scaling: c.ropeScaling,
                    factors: model.rotaryFactors), contextLength: c.contextLength)
            let chosen = if let instructionSet { instructionSet } else { try InstructionSet.fromEnvironment() }
            compute = Compute(pool: threads, instructionSet: chosen)
            work = try Workspace(c, rows: maxRows)
            attention = try AttentionPlan(
                layout: pool.layout, heads: c.heads, maxRows: maxRows, compute: compute, sparse: sparse,
                contextLength: c.contextLength)
        } catch {
            throw .kernel(error)
        }
    }

    /// Computes a step: writes the K and V of all tokens and hands over the logits after the last token of each segment that
    /// wants them, in order.
    ///
    /// - Parameters:
    ///   - segments: One per sequence; two segments must not write the same page.
    ///   - logits: Called with the segment's index and ``ModelConfiguration/vocabulary`` values, valid during the call.
    /// - Throws: ``InferenceError``. Segments are checked before anything is written.
    public func run(
        _ segments: [Segment], logits: (_ segment: Int, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        let rows = try prepare(segments)
        wanted.removeAll(keepingCapacity: true)
        var row = 0
        for (index, segment) in segments.enumerated() {
            row += segment.tokens.count
            if segment.wantsLogits {
                wanted.append(LogitsRow(row: row - 1, segment: index, token: segment.tokens.count - 1))
            }
        }
        computeLayers(rows: rows)
        try timedLogits { try logits($0.segment, $1) }
    }

    /// Like ``run(_:logits:)``, with the logits after every token of every segment, whether wanted or not.
    ///
    /// - Parameters:
    ///   - step: Of each segment, the first token and every so many further ones.
    ///   - trail: Keeps what enters each layer; or, with `first`, says what entered it in a step with the same segments.
    ///   - first: The layer to begin with: those before are taken to be as they were.
    public func runAll(
        _ segments: [Segment], every step: Int = 1, trail: ResidualTrail? = nil, from first: Int? = nil,
        logits: (_ segment: Int, _ token: Int, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        precondition(first == nil || trail != nil, "nobody knows what enters the layer")
        let rows = try prepare(segments)
        wanted.removeAll(keepingCapacity: true)
        var row = 0
        for (index, segment) in segments.enumerated() {
            for token in stride(from: 0, to: segment.tokens.count, by: step) {
                wanted.append(LogitsRow(row: row + token, segment: index, token: token))
            }
            row += segment.tokens.count
        }
        computeLayers(rows: rows, from: first, trail)
        try timedLogits { try logits($0.segment, $0.token, $1) }
    }

    private struct LogitsRow {
        let row, segment, token: Int
    }

    // MARK: Input

    /// Checks the segments, embeds their tokens, and lays out where everything goes. Returns the number of rows.
    private func prepare(_ segments: [Segment]) throws(InferenceError) -> Int {
        let rows = segments.reduce(0) { $0 + $1.tokens.count }
        guard rows <= maxRows else { throw .tooManyRows(rows, limit: maxRows) }
        for (index, segment) in segments.enumerated() { try check(segment, index) }
        spans.removeAll(keepingCapacity: true)
        segmentSpans.removeAll(keepingCapacity: true)
        var row = 0, page = 0
        for segment in segments {
            place(segment, row: row, pageTable: work.pages + page)
            row += segment.tokens.count
            page += neededPages(segment)
        }
        attention.prepare(spans)
        embed(segments)
        return rows
    }

    private func neededPages(_ segment: Segment) -> Int {
        KVPool.pages(forTokens: segment.position + segment.tokens.count)
    }

    private func check(_ segment: Segment, _ index: Int) throws(InferenceError) {
        let c = model.configuration
        func refuse(_ reason: String) -> InferenceError { .invalidSegment(index: index, reason: reason) }
        guard !segment.tokens.isEmpty else { throw refuse("it has no tokens") }
        guard segment.position >= 0, segment.position <= c.contextLength - segment.tokens.count else {
            throw refuse("position \(segment.position) leaves no room in a context of \(c.contextLength) tokens")
        }
        guard segment.pages.count >= neededPages(segment) else {
            throw refuse("it has \(segment.pages.count) KV pages but needs \(neededPages(segment))")
        }
        guard segment.pages.allSatisfy({ pool.place(of: $0) != nil }) else {
            throw refuse("a page is not of this pool")
        }
        if let token = segment.tokens.first(where: { $0 < 0 || Int($0) >= c.vocabulary }) {
            throw refuse("token \(token) is not in the vocabulary of \(c.vocabulary)")
        }
    }

    private func place(_ segment: Segment, row: Int, pageTable: UnsafeMutablePointer<KVPage>) {
        for i in 0..<neededPages(segment) { pageTable[i] = place(of: segment.pages[i]) }
        for i in segment.tokens.indices {
            let position = segment.position + i
            work.slots[row + i] = KVSlot(
                page: pageTable[position / KVPool.pageTokens], slot: UInt32(position % KVPool.pageTokens))
            angles.write(position: position, to: work.rotation[row: row + i])
        }
        let count = segment.tokens.count, dense = max(0, min(count, segment.sparseFrom - segment.position))
        segmentSpans.append(spans.count)
        for (first, rows, isSparse) in [(0, dense, false), (dense, count - dense, true)] where rows > 0 {
            spans.append(
                AttentionSpan(
                    pages: pageTable, row: row + first, count: rows, position: segment.position + first,
                    isSparse: isSparse))
        }
    }

    /// Looks up the embeddings of all tokens, on all threads where there are many.
    private func embed(_ segments: [Segment]) {
        var first = 0
        for segment in segments {
            let row = first, embedding = model.embedding, tokens = segment.tokens
            // Written by one thread each.
            nonisolated(unsafe) let residual = work.residual
            if tokens.count < 64 {
                for i in tokens.indices { embedding.copyRow(Int(tokens[i]), to: residual[row: row + i]) }
            } else {
                compute.pool.run(count: tokens.count) {
                    embedding.copyRow(Int(tokens[$0]), to: residual[row: row + $0])
                }
            }
            first += tokens.count
        }
    }

    // MARK: Layers

    /// Computes all layers; the wanted rows then stand first in the residual stream.
    private func computeLayers(rows: Int, from first: Int? = nil, _ trail: ResidualTrail? = nil) {
        let c = model.configuration
        var rows = rows, clock = LapClock()
        if let first { trail?.take(layer: first, to: work.residual.first(rows)) }
        for (index, layer) in model.layers.enumerated().dropFirst(first ?? 0) {
            let x = work.residual.first(rows), qkv = work.queryKeyValue.first(rows)
            if first == nil { trail?.keep(layer: index, x) }
            tap?.entered(layer: index, residual: x)
            layer.queryKeyValue.apply(
                normalized: x, weight: layer.attentionNorm, epsilon: c.rmsEpsilon, to: qkv, with: compute,
                scratch: work.scratch)
            complete(qkv, of: layer)
            times.linear += clock.lap()
            tap?.projected(layer: index, queryKeyValue: qkv)
            compute.rotateAndStore(
                qkv, heads: c.heads, layer: index, layout: pool.layout, rotation: work.rotation.base, slots: work.slots)
            times.store += clock.lap()
            // Nothing after the last layer's keys and values needs the other rows, unless a tap is to see them.
            if index == c.layers - 1, !tapSeesAttention, wanted.count < rows { rows = keepWanted() }
            attend(index, rows: rows)
            times.attention += clock.lap()
            finish(layer, rows: rows)
            times.linear += clock.lap()
        }
        if tapSeesAttention { moveWantedFirst(work.residual) }
    }

    private var tapSeesAttention: Bool { tap?.seesAttention ?? false }

    private func attend(_ layer: Int, rows: Int) {
        guard rows > 0 else { return }
        let qkv = work.queryKeyValue.first(rows), attended = work.attended.first(rows)
        if tapSeesAttention, tap?.attend(layer: layer, rotated: qkv, to: attended) == true { return }
        attention.run(layer: layer, window: model.configuration.attentionWindows[layer], queries: qkv, to: attended)
    }

    /// What follows attention in a layer.
    private func finish(_ layer: TransformerLayer, rows: Int) {
        guard rows > 0 else { return }
        let x = work.residual.first(rows), attended = work.attended.first(rows)
        layer.attentionOutput.apply(attended, to: x, adding: true, with: compute, scratch: work.scratch)
        layer.feedForward.apply(
            addingTo: x, weight: layer.feedForwardNorm, epsilon: model.configuration.rmsEpsilon, with: compute,
            scratch: work.scratch)
    }

    /// Reduces the step to the rows whose logits are wanted. Returns their number.
    private func keepWanted() -> Int {
        moveWantedFirst(work.residual)
        moveWantedFirst(work.queryKeyValue)
        wantedSpans.removeAll(keepingCapacity: true)
        for (index, wanted) in wanted.enumerated() {
            let first = spans[segmentSpans[wanted.segment]]
            // The second span of a segment, if there is one, goes on where the first ends.
            let span = wanted.token < first.count ? first : spans[segmentSpans[wanted.segment] + 1]
            wantedSpans.append(
                AttentionSpan(
                    pages: span.pages, row: index, count: 1, position: first.position + wanted.token,
                    isSparse: span.isSparse))
        }
        attention.prepare(wantedSpans)
        return wanted.count
    }

    /// Moves wanted rows to the front; they are in ascending order, so none is overwritten before it is moved.
    private func moveWantedFirst(_ matrix: Matrix) {
        for (index, wanted) in wanted.enumerated() where wanted.row != index {
            _ = matrix[row: index].update(fromContentsOf: matrix[row: wanted.row])
        }
    }

    /// What architectures do with `[queries | keys | values]` between their product and rotation.
    private func complete(_ qkv: Matrix, of layer: TransformerLayer) {
        if !layer.bias.isEmpty {
            for i in 0..<qkv.rows {
                let row = qkv[row: i]
                for j in row.indices { row[j] += layer.bias[j] }
            }
        }
        guard let norms = layer.headNorms else { return }
        let c = model.configuration
        for head in 0..<c.heads + c.kvHeads {
            let place = Matrix(
                qkv.base + head * c.headDimension, rows: qkv.rows, columns: c.headDimension, stride: qkv.stride)
            compute.normalize(
                place, weight: head < c.heads ? norms.query : norms.key, epsilon: c.rmsEpsilon, to: place)
        }
    }

    /// Computes the angles of the first positions, which would else be done when a prompt first comes there.
    public func prepareAngles(positions: Int) { _ = angles.of(0..<min(positions, model.configuration.contextLength)) }

    // MARK: Keys and values from elsewhere

    /// Writes keys and values of consecutive tokens of one layer to a sequence's pages, as a step that computes these tokens
    /// would: rows are `[keys | values]`, all KV heads one after another, keys before rotation.
    ///
    /// - Parameters:
    ///   - rows: At most ``maxRows`` rows; they are not changed.
    ///   - position: Of the first row's token in the sequence.
    ///   - pages: The sequence's pages from its beginning.
    /// - Returns: The rows as attention sees them, keys rotated; valid until the object is used again.
    @discardableResult
    public func store(_ rows: Matrix, layer: Int, position: Int, pages: [PageID]) -> Matrix {
        let c = model.configuration, columns = 2 * c.kvHeads * c.headDimension
        precondition(rows.columns == columns && rows.rows <= maxRows, "shapes do not fit")
        let scratch = Matrix(
            work.queryKeyValue.base, rows: rows.rows, columns: columns, stride: work.queryKeyValue.stride)
        for i in 0..<rows.rows { _ = scratch[row: i].update(fromContentsOf: rows[row: i]) }
        place(position..<position + rows.rows, pages)
        compute.rotateAndStore(
            scratch, heads: 0, layer: layer, layout: pool.layout, rotation: work.rotation.base, slots: work.slots)
        return scratch
    }

    /// The same for all layers at once, from the first on, with as many rows in each.
    ///
    /// - Parameter layers: At most ``maxRows`` rows each; they are as attention sees them afterwards, keys rotated.
    public func store(layers: [Matrix], position: Int, pages: [PageID]) {
        let count = layers.first?.rows ?? 0
        place(position..<position + count, pages)
        compute.rotateAndStore(
            layers: layers, layout: pool.layout, rotation: work.rotation.base, slots: work.slots)
    }

    /// The same for any number of rows, which `body` hands over and which stay as they are.
    public func store<Failure: Error>(
        rows: Int, position: Int, pages: [PageID], from body: (RowSink) throws(Failure) -> Void
    ) throws(Failure) {
        let positions = position..<position + rows
        let slots = UnsafeMutableBufferPointer<KVSlot>.allocate(capacity: rows)
        defer { slots.deallocate() }
        locate(positions, in: pages, slots.baseAddress!)
        try compute.rotateAndStore(
            rows: rows, layout: pool.layout, rotation: angles.of(positions), slots: slots.baseAddress!, from: body)
    }

    /// Notes where tokens lie in pages, and their angles.
    private func place(_ positions: Range<Int>, _ pages: [PageID]) {
        precondition(positions.count <= maxRows, "more rows than there is room for")
        locate(positions, in: pages, work.slots)
        for (i, at) in positions.enumerated() { angles.write(position: at, to: work.rotation[row: i]) }
    }

    /// Finds where tokens lie in pages.
    private func locate(_ positions: Range<Int>, in pages: [PageID], _ slots: UnsafeMutablePointer<KVSlot>) {
        precondition(
            positions.lowerBound >= 0 && KVPool.pages(forTokens: positions.upperBound) <= pages.count,
            "the pages end before the rows")
        for (i, at) in positions.enumerated() {
            slots[i] = KVSlot(page: place(of: pages[at / KVPool.pageTokens]), slot: UInt32(at % KVPool.pageTokens))
        }
    }

    private func place(of page: PageID) -> KVPage {
        guard let place = pool.place(of: page) else { preconditionFailure("a page is not of this pool") }
        return place
    }

    // MARK: Output

    private func timedLogits(_ deliver: (LogitsRow, UnsafeBufferPointer<Float>) throws -> Void) throws {
        var clock = LapClock()
        defer { times.logits += clock.lap() }
        try computeLogits(deliver)
    }

    private func computeLogits(_ deliver: (LogitsRow, UnsafeBufferPointer<Float>) throws -> Void) throws {
        let c = model.configuration, most = work.logits.rows
        for first in stride(from: 0, to: wanted.count, by: most) {
            let count = min(most, wanted.count - first), logits = work.logits.first(count)
            model.head.apply(
                normalized: work.residual.rows(first, count), weight: model.finalNorm, epsilon: c.rmsEpsilon,
                to: logits,
                with: compute, scratch: work.scratch)
            for i in 0..<count {
                let row = UnsafeBufferPointer(logits[row: i]), wanted = wanted[first + i]
                guard row.allFinite else { throw InferenceError.nonFiniteLogits(segment: wanted.segment) }
                try deliver(wanted, row)
            }
        }
    }
}
