// SPDX-License-Identifier: Apache-2.0
import Kernels

/// The paper's codec of one layer (arXiv 2602.08005, section 4.1): a row x, `[keys before rotation | values]`, is kept as
/// `z = f_c(x) − f_c(r)` where r is the mean of its nearest references, and comes back as `f_d(z) + r`.
///
/// References are the sinks and every stride-th row, in half precision; a row may see those up to its own position, itself
/// included, and a reference that is read comes back from its latent like any other row, as in the published engine.
public struct PaperCodec: Sendable {
    /// Most references of a sequence: ids have 16 bits.
    static let mostReferences = Int(UInt16.max)
    private static let pieceRows = 256

    /// Place in the model.
    public let layer: Int
    /// What was chosen.
    public let settings: PaperSettings
    /// f_c: rows to latents.
    public let compressor: PaperMap
    /// f_d: latents to rows.
    public let decompressor: PaperMap

    /// Elements of a row.
    public var columns: Int { compressor.inputs }
    /// Elements of a latent.
    public var latentWidth: Int { compressor.outputs }
    private var latentBytes: Int { settings.latents.bytes(latentWidth) }

    init(layer: Int, settings: PaperSettings, compressor: PaperMap, decompressor: PaperMap) {
        precondition(
            settings.isValid && compressor.inputs == decompressor.outputs
                && compressor.outputs == decompressor.inputs, "the maps do not fit together")
        self.layer = layer
        self.settings = settings
        self.compressor = compressor
        self.decompressor = decompressor
    }

    /// Codes further rows of a sequence. Coding a sequence in any pieces gives the same bytes.
    ///
    /// - Parameters:
    ///   - rows: [rows][columns].
    ///   - history: The sequence's rows of this layer so far; grows.
    /// - Throws: ``CompressionError/nonFiniteRow(layer:)``, ``CompressionError/tooManyReferences(layer:limit:)``,
    ///   ``CompressionError/kernel(_:)``; the history is unchanged then.
    public func encode(
        _ rows: Matrix, appendingTo history: inout PaperRows, with compute: Compute
    ) throws(CompressionError) {
        precondition(rows.columns == columns, "shapes do not fit")
        for row in 0..<rows.rows where !rows[row: row].allSatisfy(\.isFinite) { throw .nonFiniteRow(layer: layer) }
        guard settings.references(before: history.count + rows.rows) <= Self.mostReferences else {
            throw .tooManyReferences(layer: layer, limit: Self.mostReferences)
        }
        var extended = history
        for row in 0..<rows.rows where settings.isReference(history.count + row) {
            for value in rows[row: row] { extended.references.append(LatentCodes.half(value)) }
        }
        do {
            let search = try PaperReferences(extended.references, columns: columns)
            let room = try PaperScratch(rows: Self.pieceRows, maps: [compressor], columns: columns, latent: latentWidth)
            let first = min(rows.rows, max(0, settings.sinks - history.count))
            for start in stride(from: first, to: rows.rows, by: Self.pieceRows) {
                let piece = rows.rows(start, min(Self.pieceRows, rows.rows - start))
                try encodePiece(piece, at: history.count + start, to: &extended, search, room, compute)
            }
        } catch let error as KernelError {
            throw .kernel(error)
        } catch let error as CompressionError {
            throw error
        } catch {
            preconditionFailure("no other errors are thrown here: \(error)")
        }
        extended.count += rows.rows
        history = extended
    }

    private func encodePiece(
        _ rows: Matrix, at position: Int, to history: inout PaperRows, _ search: PaperReferences, _ room: PaperScratch,
        _ compute: Compute
    ) throws {
        let limits = (0..<rows.rows).map { settings.references(before: position + $0 + 1) }
        let nearest = try search.nearest(rows, limits: limits, count: settings.neighbours, with: compute)
        let means = room.rows.first(rows.rows), latents = room.latents.first(rows.rows)
        for (row, ids) in nearest.enumerated() {
            PaperReferences.mean(of: ids, in: history.references, to: means[row: row])
            history.ids += ids + Array(repeating: PaperRows.none, count: settings.neighbours - ids.count)
        }
        compressor.apply(rows, to: latents, scratch: room.hidden, with: compute)
        let predicted = room.otherLatents.first(rows.rows)
        compressor.apply(means, to: predicted, scratch: room.hidden, with: compute)
        for row in 0..<rows.rows {
            let latent = latents[row: row], other = predicted[row: row]
            for i in latent.indices { latent[i] -= other[i] }
            guard latent.allSatisfy(\.isFinite) else { throw CompressionError.nonFiniteRow(layer: layer) }
            LatentCodes.append(latent, as: settings.latents, to: &history.latents)
        }
    }

    /// Decodes rows, in any order.
    ///
    /// - Parameters:
    ///   - positions: Within the history.
    ///   - rows: [positions][columns], to be written.
    /// - Throws: ``CompressionError/kernel(_:)``.
    public func decode(
        _ positions: some RandomAccessCollection<Int>, of history: PaperRows, into rows: Matrix, with compute: Compute
    ) throws(CompressionError) {
        precondition(rows.columns == columns && rows.rows == positions.count, "shapes do not fit")
        precondition(positions.allSatisfy { (0..<history.count).contains($0) }, "no such rows")
        let room: PaperScratch
        do throws(KernelError) {
            room = try PaperScratch(rows: Self.pieceRows, maps: [decompressor], columns: columns, latent: latentWidth)
        } catch {
            throw .kernel(error)
        }
        let positions = Array(positions)
        for start in stride(from: 0, to: positions.count, by: Self.pieceRows) {
            let piece = positions[start..<min(positions.count, start + Self.pieceRows)]
            decodePiece(piece, of: history, into: rows.rows(start, piece.count), room, compute)
        }
    }

    private func decodePiece(
        _ positions: ArraySlice<Int>, of history: PaperRows, into rows: Matrix, _ room: PaperScratch, _ compute: Compute
    ) {
        let latents = room.latents.first(positions.count)
        for (row, position) in positions.enumerated() {
            // A sink is kept exactly; its latent is never used.
            guard position >= settings.sinks else {
                latents[row: row].update(repeating: 0)
                continue
            }
            history.latents.withUnsafeBufferPointer { bytes in
                guard let base = bytes.baseAddress else { return }
                LatentCodes.read(
                    base + (position - settings.sinks) * latentBytes, as: settings.latents, to: latents[row: row])
            }
        }
        decompressor.apply(latents, to: rows, scratch: room.hidden, with: compute)
        let reference = room.rows[row: 0]
        for (row, position) in positions.enumerated() {
            let values = rows[row: row]
            guard position >= settings.sinks else {
                for i in values.indices { values[i] = Float(history.references[position * columns + i]) }
                continue
            }
            let first = (position - settings.sinks) * settings.neighbours
            let ids = history.ids[first..<first + settings.neighbours].prefix { $0 != PaperRows.none }
            PaperReferences.mean(of: ids, in: history.references, to: reference)
            for i in values.indices { values[i] += reference[i] }
        }
    }
}

/// Room for a piece of rows on its way through a map.
private struct PaperScratch {
    let rows, latents, otherLatents: Matrix
    let hidden: UnsafeMutablePointer<Float>
    private let memory: ReservedMemory

    init(rows count: Int, maps: [PaperMap], columns: Int, latent: Int) throws(KernelError) {
        let widest = maps.map(\.scratchColumns).max() ?? 0
        memory = try ReservedMemory(count: 4 * count * (columns + 2 * latent + widest))
        rows = Matrix(memory.floats(), rows: count, columns: columns)
        latents = Matrix(memory.floats() + count * columns, rows: count, columns: latent)
        otherLatents = Matrix(memory.floats() + count * (columns + latent), rows: count, columns: latent)
        hidden = memory.floats() + count * (columns + 2 * latent)
    }
}
