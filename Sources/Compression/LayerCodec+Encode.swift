// SPDX-License-Identifier: Apache-2.0
import Kernels

extension LayerCodec {
    /// Codes further rows of a sequence. Coding a sequence in any pieces gives the same bytes, on any machine and for any
    /// number of threads.
    ///
    /// - Parameters:
    ///   - rows: [rows][columns], `[keys before rotation | values]`.
    ///   - sources: The same tokens' rows as decoded in the ``sources`` layers before, the nearest first, [rows][columns].
    ///   - history: The sequence's rows of this layer so far; grows.
    ///   - references: The history's table; grows with it.
    ///   - decoded: Where the rows go as they will decode, [rows][columns], if anywhere.
    /// - Throws: ``CompressionError``; the history is unchanged then.
    public func encode(
        _ rows: Matrix, from sources: [Matrix] = [], appendingTo history: inout CompressedRows,
        references: ReferenceTable, decoded: Matrix? = nil, in work: CodecWorkspace
    ) throws(CompressionError) {
        try encode(
            rows, from: sources, appendingTo: &history, references: references, decoded: decoded, in: work, trace: nil)
    }

    func encode(
        _ rows: Matrix, from sources: [Matrix], appendingTo history: inout CompressedRows, references: ReferenceTable,
        decoded: Matrix? = nil, in work: CodecWorkspace, trace: CodingTrace?
    ) throws(CompressionError) {
        precondition(sources.count == self.sources && sources.allSatisfy { $0.rows == rows.rows }, "other sources")
        precondition(rows.columns == columns && work.columns == columns, "shapes do not fit")
        var histories = [history]
        try LayerStack(codecs: [self], work: work).encode(
            [rows], from: sources, appendingTo: &histories, tables: [references], decoded: decoded.map { [$0] },
            trace: trace)
        history = histories[0]
    }
}
