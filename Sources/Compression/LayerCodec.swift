// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// The transform codec of one layer, ready to code rows. Immutable; any number of threads and sequences may share it.
///
/// Rows are predicted first from the decoded rows of the layers before, linearly, and what that leaves from the mean of two
/// candidates: prototypes, which belong to the layer, and the sequence's own references (sinks and every stride-th row),
/// causally. What is left then is quantised with one step and entropy-coded, each row by itself, so that any row decodes
/// alone, given its own rows in the layers before. References are predicted from prototypes only.
public final class LayerCodec: @unchecked Sendable {
    /// Place in the model.
    public let layer: Int
    /// What was chosen.
    public let settings: CodecSettings
    /// What was calibrated.
    public let parameters: LayerParameters
    let tables: CodeTables
    private let matrices: [PackedEightBitMatrix]
    private let memory: ReservedMemory
    /// The layer as C sees it.
    let description: UnsafeMutablePointer<dkv_layer>
    /// The prototypes as a table of candidates.
    let prototypes: dkv_candidates

    /// Elements of a row.
    public var columns: Int { parameters.columns }

    /// Layers before this one whose decoded rows its own are predicted from.
    public var sources: Int { parameters.sources }

    /// Step of references, in fine units.
    static let referenceStep: Int32 = 12

    /// A codec of given parameters.
    ///
    /// - Throws: ``CompressionError/kernel(_:)`` where memory is refused, ``CompressionError/degenerate(layer:reason:)`` for
    ///   parameters that do not fit together.
    public init(
        layer: Int, settings: CodecSettings, parameters: LayerParameters, tables: CodeTables
    ) throws(CompressionError) {
        guard settings.isValid, parameters.fits(settings) else {
            throw .degenerate(layer: layer, reason: "its parameters do not fit together")
        }
        self.layer = layer
        self.settings = settings
        self.parameters = parameters
        self.tables = tables
        let columns = parameters.coefficients, p = parameters
        matrices = [
            try PackedEightBitMatrix(p.prediction), try PackedEightBitMatrix(p.forward),
            try PackedEightBitMatrix(p.inverse),
        ]
        let prototypeBytes = Self.candidateBytes(columns: columns, capacity: settings.prototypes)
        let floats = 2 * p.columns + 2 * p.sourceMean.count
        memory = try CompressionError.reserve(prototypeBytes + 4 * floats + 8 * columns)
        prototypes = Self.candidates(columns: columns, at: memory.base, capacity: settings.prototypes)
        var place = memory.base + prototypeBytes
        func copy<Value>(_ values: [Value]) -> UnsafePointer<Value> {
            let to = place.assumingMemoryBound(to: Value.self)
            to.update(from: values, count: values.count)
            place += MemoryLayout<Value>.stride * values.count
            return UnsafePointer(to)
        }
        let mean = copy(p.mean), scale = copy(p.scale)
        let sourceMean = copy(p.sourceMean), sourceScale = copy(p.sourceScale)
        func mode(_ mode: LayerParameters.Mode, step: Int32) -> dkv_mode {
            let t = mode.thresholds
            return dkv_mode(
                classes: copy(mode.classes), shifts: copy(mode.shifts), step: step,
                rounding: Int32(settings.rounding) * step / DKV_FINE,
                thresholds: (t[0], t[1], t[2], t[3], t[4], t[5], t[6]))
        }
        description = .allocate(capacity: 1)
        description.initialize(
            to: dkv_layer(
                elements: p.columns, columns: columns, prototypes: settings.prototypes, sinks: settings.sinks,
                stride: settings.stride, rows: mode(p.rows, step: DKV_FINE),
                references: mode(p.references, step: Self.referenceStep), tables: UnsafePointer(tables.base),
                sources: p.sources, taken: (Self.taken(p, ofSource: 0), Self.taken(p, ofSource: 1)), mean: mean,
                scale: scale, source_mean: sourceMean, source_scale: sourceScale,
                prediction: matrices[0].matrix, forward: matrices[1].matrix, inverse: matrices[2].matrix))
        var table = prototypes
        p.prototypes.withUnsafeBufferPointer { rows in
            guard let base = rows.baseAddress else { return }
            for i in 0..<settings.prototypes { dkv_candidate_set(&table, i, base + i * columns) }
        }
    }

    /// What prediction takes of a source: its halves lie beside each other, so that this is one run, or nothing.
    private static func taken(_ p: LayerParameters, ofSource source: Int) -> dkv_run {
        let halves = p.inputs.filter { $0 / 2 == source }
        return dkv_run(first: (halves.first ?? 2 * source) * p.columns / 2, count: halves.count * p.columns / 2)
    }

    /// Coefficients that distances between rows are taken over. They are in the order of what they carry, so that the first ones
    /// tell nearly as much as all.
    private static let searched = 64

    /// A table of candidates in memory.
    static func candidates(columns: Int, at base: UnsafeMutableRawPointer, capacity: Int) -> dkv_candidates {
        dkv_candidates_at(base, columns, min(columns, searched), capacity)
    }

    /// Bytes of such a table.
    static func candidateBytes(columns: Int, capacity: Int) -> Int {
        dkv_candidate_bytes(columns, min(columns, searched), capacity)
    }

    deinit { description.deallocate() }

    /// Whether the row at a position is a reference.
    public func isReference(_ position: Int) -> Bool { dkv_is_reference(description, position) }

    /// References among the rows before a position.
    public func references(before position: Int) -> Int { dkv_references_before(description, position) }
}
