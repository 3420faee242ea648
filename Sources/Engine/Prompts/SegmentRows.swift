// SPDX-License-Identifier: Apache-2.0

import Inference
import Kernels

/// Keys and values of a prompt segment as the model computes them, all layers, until they are coded.
final class SegmentRows {
    private let memory: ReservedMemory
    private let tokens: Int
    private let columns: Int

    /// Room for `tokens` rows of `columns` elements in each layer.
    init(layers: Int, tokens: Int, columns: Int) throws(KernelError) {
        memory = try ReservedMemory(count: 4 * layers * tokens * columns)
        self.tokens = tokens
        self.columns = columns
    }

    /// [tokens][columns], `[keys before rotation | values]`.
    func rows(layer: Int) -> Matrix {
        Matrix(memory.floats(at: 4 * layer * tokens * columns), rows: tokens, columns: columns)
    }
}

/// Copies keys and values out of a step.
final class RowCapture: LayerTap {
    /// Rows of the step that are wanted.
    struct Span {
        /// The first row of the step, and how many.
        let row, count: Int
        /// Where they go, from a row on.
        let rows: SegmentRows
        let first: Int
    }

    /// What is wanted of the step under way.
    var spans: [Span] = []
    private let queries: Int

    init(_ configuration: ModelConfiguration) { queries = configuration.heads * configuration.headDimension }

    var seesAttention: Bool { false }

    func projected(layer: Int, queryKeyValue: Matrix) {
        for span in spans {
            let rows = span.rows.rows(layer: layer)
            for i in 0..<span.count {
                _ = rows[row: span.first + i].update(fromContentsOf: queryKeyValue[row: span.row + i][queries...])
            }
        }
    }

    func attend(layer: Int, rotated: Matrix, to attended: Matrix) -> Bool { false }
}
