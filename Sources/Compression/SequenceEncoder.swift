// SPDX-License-Identifier: Apache-2.0
import Kernels
import Synchronization

/// The coded keys and values of all layers of a sequence.
public struct CompressedSequence: Sendable, Equatable {
    /// One a layer.
    public internal(set) var layers: [CompressedRows]

    /// No tokens yet.
    public init(layers: Int) { self.layers = Array(repeating: CompressedRows(), count: layers) }

    /// Tokens in the last layer, which is the last to grow.
    public var count: Int { layers.last?.count ?? 0 }

    /// Bytes in memory.
    public var ramBytes: Int { layers.reduce(0) { $0 + $1.ramBytes } }

    /// Bytes in a file, apart from its header.
    public var fileBytes: Int { layers.reduce(0) { $0 + $1.fileBytes } }
}

/// Codes a sequence as it grows, layer after layer, because layers are predicted from those before them. Pieces that were
/// coded before, by whatever encoder, may be put in their places instead.
public final class SequenceEncoder {
    /// What is coded so far.
    public private(set) var sequence: CompressedSequence
    private let compressor: Compressor
    private let work: CodecWorkspace
    private let tables: [ReferenceTable]
    private var ring: DecodedLayers

    /// An encoder that begins a sequence.
    ///
    /// - Throws: ``CompressionError``.
    public init(
        _ compressor: Compressor, in work: CodecWorkspace
    ) throws(CompressionError) {
        self.compressor = compressor
        self.work = work
        sequence = CompressedSequence(layers: compressor.layers.count)
        var tables: [ReferenceTable] = []
        for codec in compressor.layers { tables.append(try ReferenceTable(codec: codec)) }
        self.tables = tables
        ring = DecodedLayers(columns: compressor.columns)
    }

    private var stack: LayerStack { LayerStack(codecs: compressor.layers, work: work) }

    /// Codes further tokens.
    ///
    /// - Parameter layers: Rows of every layer, [tokens][columns], `[keys before rotation | values]`; they become what they will
    ///   decode to.
    /// - Throws: ``CompressionError``; the sequence is of no use then.
    public func encode(_ layers: [Matrix]) throws(CompressionError) {
        precondition(layers.count == compressor.layers.count, "not as many layers")
        precondition(layers.allSatisfy { $0.columns == compressor.columns && $0.rows == layers[0].rows }, "shapes")
        try stack.encode(layers, from: [], appendingTo: &sequence.layers, tables: tables, decoded: layers)
    }

    /// Codes further tokens' rows of a layer, which must be the next in turn. The same as all layers at once.
    ///
    /// - Parameter rows: [tokens][columns], `[keys before rotation | values]`; as many in every layer.
    /// - Returns: The rows as they decode, valid until a layer that is ``LayerParameters/mostSources`` further is coded.
    /// - Throws: ``CompressionError``; the sequence is of no use then.
    @discardableResult
    public func encode(layer: Int, _ rows: Matrix) throws(CompressionError) -> Matrix {
        let codec = compressor.layers[layer]
        let sources = ring.sources(of: codec, rows: rows.rows)
        let decoded = try ring.next(layer: layer, rows: rows.rows)
        try codec.encode(
            rows, from: sources, appendingTo: &sequence.layers[layer], references: tables[layer], decoded: decoded,
            in: work)
        return decoded
    }

    /// The coded rows of some tokens, from a multiple of 16 to another one, or to the end.
    public func segment(_ positions: Range<Int>) -> CompressedSegment {
        CompressedSegment(
            layers: sequence.layers.map {
                $0.piece(positions, columns: compressor.columns, sinks: compressor.settings.sinks)
            })
    }

    /// Takes tokens that were coded before as the next ones, of which only what is coded later matters.
    ///
    /// - Throws: ``CompressionError``; the sequence is of no use then.
    public func append(_ segments: [CompressedSegment]) throws(CompressionError) {
        guard !segments.isEmpty else { return }
        try stack.extend(tables, by: add(segments), of: sequence.layers, into: nil)
    }

    /// Takes tokens that were coded before as the next ones, and decodes them.
    ///
    /// - Parameter store: Called with their positions, and with what puts the rows of these into a sink, `[keys before rotation |
    ///   values]` as they decode.
    /// - Throws: ``CompressionError``; the sequence is of no use then.
    public func append(
        _ segments: [CompressedSegment],
        into store: (
            _ positions: Range<Int>, _ decode: (RowSink) throws(CompressionError) -> Void
        ) throws(CompressionError) -> Void
    ) throws(CompressionError) {
        let positions = try add(segments)
        try store(positions) { sink throws(CompressionError) in
            precondition(sink.columns == compressor.columns, "another sink")
            try stack.extend(tables, by: positions, of: sequence.layers, into: sink)
        }
    }

    /// Adds segments' rows, and says which positions they have.
    private func add(_ segments: [CompressedSegment]) throws(CompressionError) -> Range<Int> {
        let first = sequence.count
        guard segments.allSatisfy({ $0.layers.count == compressor.layers.count }) else { throw .damagedRows(layer: 0) }
        let damaged = sequence.layers.withUnsafeMutableBufferPointer { layers in
            // Each thread has layers of its own.
            nonisolated(unsafe) let layers = layers
            let damaged = Mutex<Int?>(nil)
            work.compute.pool.run(count: layers.count) { [compressor] layer in
                let isSound = layers[layer].append(
                    segments.map { $0.layers[layer] }, columns: compressor.columns, settings: compressor.settings)
                if !isSound { damaged.withLock { $0 = min($0 ?? layer, layer) } }
            }
            return damaged.withLock { $0 }
        }
        if let layer = damaged { throw .damagedRows(layer: layer) }
        return first..<sequence.count
    }
}

extension Compressor {
    /// Decodes rows of all layers, in order.
    ///
    /// - Parameters:
    ///   - positions: The rows wanted, in any order.
    ///   - body: Called with each layer and its rows, [positions][columns], which are valid during the call.
    /// - Throws: ``CompressionError``.
    public func decode(
        _ positions: some Collection<Int>, of sequence: CompressedSequence, in work: CodecWorkspace,
        body: (_ layer: Int, Matrix) -> Void
    ) throws(CompressionError) {
        var ring = DecodedLayers(columns: columns)
        for codec in layers {
            let rows = sequence.layers[codec.layer], sources = ring.sources(of: codec, rows: positions.count)
            let table = try codec.referenceTable(of: rows, in: work)
            let decoded = try ring.next(layer: codec.layer, rows: positions.count)
            try codec.decode(positions, of: rows, from: sources, references: table, into: decoded, in: work)
            body(codec.layer, decoded)
        }
    }
}

/// The decoded rows of the last few layers.
private struct DecodedLayers {
    private let columns: Int
    private var memory: [ReservedMemory] = []
    /// The last layer that was asked for, and the rows of it.
    private var last: (layer: Int, rows: Int)?

    init(columns: Int) { self.columns = columns }

    private static let places = LayerParameters.mostSources + 1

    /// Room for a layer's rows; those of the layers just before stay.
    mutating func next(layer: Int, rows: Int) throws(CompressionError) -> Matrix {
        precondition(layer == 0 || last.map { $0 == (layer - 1, rows) } ?? false, "layers come in order, alike")
        if layer == 0, memory.first.map({ $0.count < 4 * rows * columns }) ?? true {
            memory = []
            for _ in 0..<Self.places { memory.append(try CompressionError.reserve(4 * max(1, rows) * columns)) }
        }
        last = (layer, rows)
        return matrix(layer, rows)
    }

    /// The rows of the layers that a layer is predicted from, the nearest first.
    func sources(of codec: LayerCodec, rows: Int) -> [Matrix] {
        (0..<codec.sources).map { matrix(codec.layer - 1 - $0, rows) }
    }

    private func matrix(_ layer: Int, _ rows: Int) -> Matrix {
        Matrix(memory[layer % Self.places].floats(), rows: rows, columns: columns)
    }
}
