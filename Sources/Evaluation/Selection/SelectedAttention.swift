// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// Attention over the tokens of a history that a selector chooses, and over all later tokens, in place of a forward pass's own.
/// In layers with a sliding window only what is inside of it counts, whatever is chosen.
final class SelectedAttention: LayerTap {
    /// Rows of a step that belong to one sequence.
    struct Span {
        /// First row of the step, and number of rows.
        let row, count: Int
        /// Where the first row is kept, and where the sequence's tokens after the history begin.
        let slot, start: Int
    }

    private let shape: CacheShape
    private let threads: ThreadPool
    private let gathered: GatheredAttention
    private let selector: any TokenSelector
    private let history: Int
    private let capacity: Int
    // Rows of all layers as attention sees them: the history's, then later tokens'.
    private let memory: ReservedMemory
    /// The spans of the step under way, set before each step.
    var spans: [Span] = []

    /// Attention to `history` tokens and up to `later` more.
    init(
        shape: CacheShape, threads: ThreadPool, instructionSet: InstructionSet, selector: any TokenSelector,
        history: Int,
        later: Int
    ) throws(KernelError) {
        self.shape = shape
        self.threads = threads
        self.selector = selector
        self.history = history
        capacity = history + later
        gathered = GatheredAttention(
            group: shape.heads / shape.kvHeads, headDimension: shape.headDimension, instructionSet: instructionSet)
        memory = try ReservedMemory(count: shape.layers * capacity * shape.rowWidth * 4)
    }

    private func rows(_ layer: Int) -> Matrix {
        Matrix(memory.floats() + layer * capacity * shape.rowWidth, rows: capacity, columns: shape.rowWidth)
    }

    /// Takes rows of the history, `[keys | values]`, keys rotated.
    func load(_ piece: Matrix, layer: Int, position: Int) {
        let rows = rows(layer)
        for row in 0..<piece.rows { _ = rows[row: position + row].update(fromContentsOf: piece[row: row]) }
    }

    /// Shows the selector the history, when all of a layer is loaded.
    func prepare(layer: Int) { selector.prepare(layer: layer, rows: rows(layer).first(history)) }

    func projected(layer: Int, queryKeyValue: Matrix) {}

    func attend(layer: Int, rotated: Matrix, to attended: Matrix) -> Bool {
        let rows = rows(layer), queries = shape.heads * shape.headDimension
        for span in spans {
            for row in 0..<span.count {
                _ = rows[row: span.slot + row].update(fromContentsOf: rotated[row: span.row + row][queries...])
            }
        }
        let owners = spans.flatMap { span in (0..<span.count).map { (span.start, span.slot + $0) } }
        precondition(owners.count == rotated.rows, "the step's spans were not set")
        nonisolated(unsafe) let rotated = rotated, attended = attended, this = self
        threads.run(count: rotated.rows) { row in
            this.compute(
                layer: layer, row: row, own: owners[row].0...owners[row].1, queries: rotated[row: row],
                rows: this.rows(layer),
                to: attended[row: row])
        }
        return true
    }

    /// Probabilities with zeros for what was chosen and lies before the window.
    private func spread(_ probabilities: UnsafePointer<Float>, count: Int, hidden: Int) -> [Float] {
        (0..<gathered.group).flatMap { member in
            Array(repeating: 0, count: hidden)
                + UnsafeBufferPointer(start: probabilities + member * count, count: count)
        }
    }

    private func compute(
        layer: Int, row: Int, own: ClosedRange<Int>, queries: UnsafeMutableBufferPointer<Float>, rows: Matrix,
        to output: UnsafeMutableBufferPointer<Float>
    ) {
        let size = gathered.group * shape.headDimension
        guard let queries = queries.baseAddress, let output = output.baseAddress else { return }
        // How far back the row sees, in the history and among later tokens.
        let first = shape.windows[layer].map { history + own.upperBound - own.lowerBound - $0 + 1 } ?? 0
        let later = max(own.lowerBound, own.lowerBound + first - history)...own.upperBound
        var tokens: [Int32] = [], probabilities: [Float] = []
        for head in 0..<shape.kvHeads {
            tokens.removeAll(keepingCapacity: true)
            selector.select(layer: layer, row: row, kvHead: head, queries: queries + head * size, into: &tokens)
            let chosen = tokens.count
            if first > 0 { tokens.removeFirst(tokens.firstIndex { $0 >= first } ?? chosen) }
            let hidden = chosen - tokens.count
            tokens += later.lazy.map { Int32($0) }
            let needed = gathered.group * tokens.count
            if probabilities.count < needed { probabilities = Array(repeating: 0, count: needed) }
            tokens.withUnsafeBufferPointer { tokens in
                probabilities.withUnsafeMutableBufferPointer { probabilities in
                    guard let base = probabilities.baseAddress else { return }
                    gathered.attend(
                        queries: queries + head * size, rows: rows, keyColumn: head * shape.headDimension,
                        valueColumn: shape.keyWidth + head * shape.headDimension, tokens: tokens, probabilities: base,
                        output: output + head * size)
                    if hidden == 0 {
                        selector.attended(
                            layer: layer, row: row, kvHead: head, probabilities: base, stride: tokens.count)
                    } else {
                        let spread = spread(base, count: tokens.count, hidden: hidden)
                        selector.attended(
                            layer: layer, row: row, kvHead: head, probabilities: spread, stride: hidden + tokens.count)
                    }
                }
            }
        }
    }
}
