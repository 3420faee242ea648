// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// Copies keys and values out of a step.
public final class RowCapture: LayerTap {
    /// Rows of the step that are wanted.
    public struct Span {
        /// The first row of the step, and how many.
        public let row, count: Int
        /// Where they go, from a row on.
        public let rows: SegmentRows
        /// The first row there.
        public let first: Int

        /// Rows `row ..< row + count` of the step, to go to `rows` from row `first` on.
        public init(row: Int, count: Int, rows: SegmentRows, first: Int) {
            self.row = row
            self.count = count
            self.rows = rows
            self.first = first
        }
    }

    /// What is wanted of the step under way.
    public var spans: [Span] = []
    private let queries: Int

    /// Nothing is wanted yet.
    public init(_ configuration: ModelConfiguration) { queries = configuration.heads * configuration.headDimension }

    /// Attention is not looked at.
    public var seesAttention: Bool { false }

    /// Copies what is wanted.
    public func projected(layer: Int, queryKeyValue: Matrix) {
        for span in spans {
            let rows = span.rows.rows(layer: layer)
            for i in 0..<span.count {
                _ = rows[row: span.first + i].update(fromContentsOf: queryKeyValue[row: span.row + i][queries...])
            }
        }
    }

    /// Leaves attention to the forward pass.
    public func attend(layer: Int, rotated: Matrix, to attended: Matrix) -> Bool { false }
}
