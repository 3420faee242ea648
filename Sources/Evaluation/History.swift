// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// The exact keys and values of the tokens so far, as the model computed them: what a policy compresses.
///
/// A view of what a ``HistoryRecorder`` holds; it must not outlive the recording of another text.
public struct History: @unchecked Sendable {
    // Read only.
    /// The cache's shape.
    public let shape: CacheShape
    /// The tokens, one for each row.
    public let tokens: ArraySlice<Int32>
    private let recorder: HistoryRecorder

    init(recorder: HistoryRecorder, tokens: ArraySlice<Int32>) {
        shape = recorder.shape
        self.tokens = tokens
        self.recorder = recorder
    }

    /// Number of tokens.
    public var count: Int { tokens.count }

    /// A layer's rows, fp32 `[tokens][keys | values]`, all KV heads one after another, keys before rotation. Not to be written.
    public func rows(layer: Int) -> Matrix { recorder.rows(layer: layer).first(count) }

    /// The rotated queries of the last tokens, fp32 `[tokens][heads · head dimension]`, at most
    /// ``HistoryRecorder/windowTokens`` rows.
    ///
    /// Empty unless the recorder was told that a history ends here. Not to be written.
    public func lastQueries(layer: Int) -> Matrix { recorder.lastQueries(layer: layer, end: count) }

    /// Bytes of the history in f16.
    public var exactBytes: Int { shape.exactBytes(tokens: count) }
}

/// Records what a forward pass computes for one text, to be cut into histories of several lengths.
public final class HistoryRecorder: LayerTap {
    /// Tokens before a history's end whose queries are kept.
    public static let windowTokens = 32

    let shape: CacheShape
    /// Most tokens that are kept; later ones pass unrecorded.
    let capacity: Int
    /// Position of the step's first token, set before each step.
    var position = 0
    private let ends: [Int]
    private let memory: ReservedMemory
    private let windows: ReservedMemory

    /// A recorder for histories that end at given positions.
    ///
    /// - Throws: `KernelError` if memory is refused.
    public init(shape: CacheShape, ends: [Int]) throws(KernelError) {
        self.shape = shape
        self.ends = ends
        capacity = ends.max() ?? 0
        memory = try ReservedMemory(count: shape.layers * capacity * shape.rowWidth * 4)
        let windowRows = ends.count * shape.layers * Self.windowTokens
        windows = try ReservedMemory(count: windowRows * shape.heads * shape.headDimension * 4)
    }

    /// The first `tokens.count` tokens as a history.
    public func history(of tokens: ArraySlice<Int32>) -> History {
        precondition(tokens.count <= capacity, "more tokens than were recorded")
        return History(recorder: self, tokens: tokens)
    }

    func rows(layer: Int) -> Matrix {
        Matrix(
            memory.floats() + layer * capacity * shape.rowWidth, rows: capacity, columns: shape.rowWidth)
    }

    func lastQueries(layer: Int, end: Int) -> Matrix {
        let columns = shape.heads * shape.headDimension
        guard let index = ends.firstIndex(of: end) else { return Matrix(windows.floats(), rows: 0, columns: columns) }
        let first = (index * shape.layers + layer) * Self.windowTokens
        return Matrix(
            windows.floats() + first * columns, rows: min(end, Self.windowTokens), columns: columns)
    }

    /// Copies keys and values.
    public func projected(layer: Int, queryKeyValue: Matrix) {
        let rows = rows(layer: layer), queries = shape.heads * shape.headDimension
        for row in 0..<max(0, min(queryKeyValue.rows, capacity - position)) {
            _ = rows[row: position + row].update(fromContentsOf: queryKeyValue[row: row][queries...])
        }
    }

    /// Copies the queries of the last tokens; attention goes on as it would.
    public func attend(layer: Int, rotated: Matrix, to attended: Matrix) -> Bool {
        let columns = shape.heads * shape.headDimension
        for end in ends {
            let window = lastQueries(layer: layer, end: end), start = end - window.rows
            for row in max(0, start - position)..<max(0, start - position, min(rotated.rows, end - position)) {
                _ = window[row: position + row - start].update(fromContentsOf: rotated[row: row][..<columns])
            }
        }
        return false
    }
}
