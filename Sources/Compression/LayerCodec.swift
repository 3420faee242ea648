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
    let forward: QuantizedMatrix
    let inverse: QuantizedMatrix
    /// Nil without sources.
    let prediction: QuantizedMatrix?
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
        let columns = parameters.coefficients, width = parameters.columns
        forward = try Self.matrix(parameters.forward, layer, rows: columns, columns: width)
        inverse = try Self.matrix(parameters.inverse, layer, rows: width, columns: columns)
        prediction =
            parameters.sources == 0
            ? nil
            : try Self.matrix(parameters.prediction, layer, rows: width, columns: parameters.sources * width)
        let panelBytes = dkv_candidate_bytes(columns, settings.prototypes)
        do {
            memory = try ReservedMemory(count: panelBytes + 4 * settings.prototypes + 8 * columns)
        } catch {
            throw .kernel(error)
        }
        prototypes = dkv_candidates(
            columns: columns, panels: memory.base.assumingMemoryBound(to: UInt8.self),
            norms: (memory.base + panelBytes).assumingMemoryBound(to: Int32.self))
        var place = memory.base + panelBytes + 4 * settings.prototypes
        func mode(_ mode: LayerParameters.Mode, step: Int32) -> dkv_mode {
            let classes = place.assumingMemoryBound(to: UInt8.self)
            let shifts = (place + columns).assumingMemoryBound(to: Int8.self)
            place += 3 * columns
            classes.update(from: mode.classes, count: columns)
            shifts.update(from: mode.shifts, count: 2 * columns)
            let t = mode.thresholds
            return dkv_mode(
                classes: classes, shifts: shifts, step: step, rounding: Int32(settings.rounding) * step / DKV_FINE,
                thresholds: (t[0], t[1], t[2], t[3], t[4], t[5], t[6]))
        }
        description = .allocate(capacity: 1)
        description.initialize(
            to: dkv_layer(
                columns: columns, prototypes: settings.prototypes, sinks: settings.sinks, stride: settings.stride,
                rows: mode(parameters.rows, step: DKV_FINE),
                references: mode(parameters.references, step: Self.referenceStep),
                tables: UnsafePointer(tables.base)))
        var table = prototypes
        parameters.prototypes.withUnsafeBufferPointer { rows in
            guard let base = rows.baseAddress else { return }
            for i in 0..<settings.prototypes { dkv_candidate_set(&table, i, base + i * columns) }
        }
    }

    deinit { description.deallocate() }

    private static func matrix(
        _ blocks: [UInt8], _ layer: Int, rows: Int, columns: Int
    ) throws(CompressionError) -> QuantizedMatrix {
        do {
            return try blocks.withUnsafeBytes { bytes in
                try QuantizedMatrix(type: .q8_0, rows: rows, columns: columns, blocks: bytes)
            }
        } catch QuantizedError.kernel(let error) {
            throw .kernel(error)
        } catch {
            throw .degenerate(layer: layer, reason: "a matrix of it holds a scale that is no number")
        }
    }

    /// Whether the row at a position is a reference.
    public func isReference(_ position: Int) -> Bool { dkv_is_reference(description, position) }

    /// References among the rows before a position.
    public func references(before position: Int) -> Int { dkv_references_before(description, position) }
}
