// SPDX-License-Identifier: Apache-2.0
import Kernels

extension LayerCodec {
    /// Decodes rows of a history. A row comes out the same whatever is decoded with it.
    ///
    /// - Parameters:
    ///   - positions: The rows wanted, in any order.
    ///   - sources: The same rows as decoded in the ``sources`` layers before, the nearest first, [positions][columns].
    ///   - references: The history's table if there is one; without it each row's references are decoded along.
    ///   - rows: [positions][columns], `[keys before rotation | values]`.
    /// - Throws: ``CompressionError/damagedRows(layer:)``.
    public func decode(
        _ positions: some Collection<Int>, of history: CompressedRows, from sources: [Matrix] = [],
        references: ReferenceTable? = nil, into rows: Matrix, in work: CodecWorkspace
    ) throws(CompressionError) {
        precondition(rows.columns == columns && rows.rows == positions.count && work.columns == columns, "shapes")
        precondition(
            references.map { $0.references == self.references(before: history.count) } ?? true, "another table")
        precondition(sources.count == self.sources && sources.allSatisfy { $0.rows == rows.rows }, "other sources")
        precondition(positions.allSatisfy { (0..<history.count).contains($0) }, "there is no such row")
        try LayerStack(codecs: [self], work: work).decode(
            positions, of: [history], from: sources, tables: references.map { [$0] }, into: [rows])
    }

    /// The table of a history's references, made from its coded rows.
    ///
    /// - Throws: ``CompressionError``.
    public func referenceTable(
        of history: CompressedRows, in work: CodecWorkspace
    ) throws(CompressionError) -> ReferenceTable {
        let table = try ReferenceTable(codec: self)
        try LayerStack(codecs: [self], work: work).extend([table], by: 0..<history.count, of: [history], into: nil)
        return table
    }
}
