// SPDX-License-Identifier: Apache-2.0
import Kernels

/// Finds the nearest references of rows by squared distance over all elements, in tiles: `2 a·b − |b|²` is computed for a few
/// rows and a block of references at a time, and only the best of each row are kept.
///
/// In fp32, each product one chain in a fixed order; equals go to the earlier reference. (The published engine ranks in bf16,
/// so where two references are nearly equally near, it may choose the other.)
struct PaperReferences {
    private static let block = 512
    private static let tileRows = 128

    private let columns: Int
    private var blocks: [PackedMatrix] = []
    private var norms: [Float] = []

    /// References in half precision, [count][columns].
    init(_ references: [Float16], columns: Int) throws(KernelError) {
        self.columns = columns
        var row = Array(repeating: Float(0), count: columns)
        for index in 0..<references.count / columns {
            if index % Self.block == 0 { blocks.append(try PackedMatrix(inputs: columns, outputs: Self.block)) }
            var norm: Float = 0
            for i in 0..<columns {
                row[i] = Float(references[index * columns + i])
                norm += row[i] * row[i]
            }
            norms.append(norm)
            let matrix = blocks[index / Self.block]
            row.withUnsafeBufferPointer { matrix.setRow(index % Self.block, $0) }
        }
    }

    /// For each row the nearest of the first `limits[row]` references, nearest first, `count` of them or as many as there are.
    func nearest(_ rows: Matrix, limits: [Int], count: Int, with compute: Compute) throws(KernelError) -> [[UInt16]] {
        let memory = try ReservedMemory(count: 4 * Self.tileRows * Self.block)
        var found = limits.map { _ in Nearest(limit: count) }
        for first in stride(from: 0, to: rows.rows, by: Self.tileRows) {
            let tile = rows.rows(first, min(Self.tileRows, rows.rows - first))
            let most = limits[first..<first + tile.rows].max() ?? 0
            for index in 0..<(most + Self.block - 1) / Self.block {
                let products = Matrix(memory.floats(), rows: tile.rows, columns: Self.block)
                blocks[index].apply(tile, to: products, with: compute)
                for row in 0..<tile.rows {
                    let start = index * Self.block, end = min(limits[first + row], start + Self.block)
                    guard start < end else { continue }
                    let scores = products[row: row]
                    for id in start..<end { found[first + row].offer(2 * scores[id - start] - norms[id], id) }
                }
            }
        }
        return found.map { $0.ids }
    }

    /// The mean of references, [count][columns], summed in the order of the list.
    static func mean(
        of ids: some Collection<UInt16>, in references: [Float16], to row: UnsafeMutableBufferPointer<Float>
    ) {
        row.update(repeating: 0)
        for id in ids {
            let first = Int(id) * row.count
            for i in row.indices { row[i] += Float(references[first + i]) }
        }
        let share = 1 / Float(ids.count)
        for i in row.indices { row[i] *= share }
    }

    /// The best so far, best first.
    private struct Nearest {
        let limit: Int
        private var scores: [Float] = []
        private(set) var ids: [UInt16] = []

        init(limit: Int) { self.limit = limit }

        /// Ids come in ascending order, so one that is only as good stays behind.
        mutating func offer(_ score: Float, _ id: Int) {
            if scores.count == limit {
                guard score > scores[limit - 1] else { return }
                scores.removeLast()
                ids.removeLast()
            }
            var place = scores.count
            while place > 0, score > scores[place - 1] { place -= 1 }
            scores.insert(score, at: place)
            ids.insert(UInt16(id), at: place)
        }
    }
}

/// What the references leave of rows: what compressors are made for.
struct PaperResiduals {
    let settings: PaperSettings
    let columns: Int

    /// [rows after the sinks][columns]: rows of a whole sequence minus the mean of their nearest references.
    func residuals(of rows: Matrix, with compute: Compute) throws(KernelError) -> [Float] {
        var references: [Float16] = []
        for row in 0..<rows.rows where settings.isReference(row) {
            for value in rows[row: row] { references.append(LatentCodes.half(value)) }
        }
        let coded = rows.rows(min(settings.sinks, rows.rows), max(0, rows.rows - settings.sinks))
        let limits = (0..<coded.rows).map { settings.references(before: settings.sinks + $0 + 1) }
        let nearest = try PaperReferences(references, columns: columns).nearest(
            coded, limits: limits, count: settings.neighbours, with: compute)
        var left: [Float] = []
        var mean = Array(repeating: Float(0), count: columns)
        for (row, ids) in nearest.enumerated() {
            mean.withUnsafeMutableBufferPointer { PaperReferences.mean(of: ids, in: references, to: $0) }
            for (value, predicted) in zip(coded[row: row], mean) { left.append(value - predicted) }
        }
        return left
    }
}
