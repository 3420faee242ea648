// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kernels
import Testing

@testable import Compression

/// Sequences of several layers, each predicted from those before it.
@Suite struct SequenceTests {
    private static let columns = 64, layers = 4

    /// Rows of layers: 1 has nothing to do with 0, 2 follows from 0 and 3 from 2, with something of their own.
    private static func rows(count: Int, seed: UInt64) -> [SampleRows] {
        var all = (0..<layers).map { SampleRows(count: count, columns: columns, seed: seed &+ UInt64(100 * $0)) }
        for (layer, source) in [(2, 0), (3, 2)] {
            for i in all[layer].values.indices {
                let from = i / columns * columns + (i % columns * 5 + 3) % columns
                all[layer].values[i] = 0.3 * all[layer].values[i] + all[source].values[from]
            }
        }
        return all
    }

    /// A compressor of four layers, calibrated on such rows.
    private static func compressor() throws -> Compressor {
        let count = 900, settings = CodecSettings(prototypes: 16)
        var all = rows(count: count, seed: 1), decoded: [ReservedMemory] = [], parameters: [LayerParameters] = []
        var counts = Array(repeating: 0.0, count: CodeTables.classes * CodeTables.symbols)
        for layer in 0..<layers {
            let own = try ReservedMemory(count: 4 * count * columns)
            let solution = try all[layer].withMatrix { matrix in
                try LayerSolver(
                    layer: layer, settings: settings, blas: OpenBLAS(), compute: Compute(pool: ThreadPool(threads: 1)),
                    rows: matrix.base, sources: decoded.prefix(2).map { $0.floats() }, lengths: [count],
                    columns: columns, metric: identity(columns), step: 0.1
                ).solve(decoded: own.floats())
            }
            decoded.insert(own, at: 0)
            parameters.append(solution.parameters)
            for i in counts.indices { counts[i] += solution.counts[i] }
        }
        let tables = try #require(CodeTables(frequencies: CodeTables.frequencies(counts: counts)))
        return try Compressor(
            modelDigest: "d", settings: settings, tables: tables, parameters: parameters, observationLayers: [0])
    }

    /// Codes rows in pieces; what encoding says that rows decode to must be what decoding says.
    private func encode(
        _ all: inout [SampleRows], pieces: [Int], with compressor: Compressor,
        in work: CodecWorkspace
    ) throws -> (CompressedSequence, decoded: [[Float]]) {
        let encoder = try SequenceEncoder(compressor, in: work)
        var decoded = Array(repeating: [Float](), count: Self.layers), first = 0
        for count in pieces {
            for layer in 0..<Self.layers {
                try all[layer].withMatrix { matrix in
                    let rows = try encoder.encode(layer: layer, matrix.rows(first, count))
                    for row in 0..<count { decoded[layer].append(contentsOf: rows[row: row]) }
                }
            }
            first += count
        }
        return (encoder.sequence, decoded)
    }

    private func decode(
        _ positions: [Int], of sequence: CompressedSequence, with compressor: Compressor, in work: CodecWorkspace
    ) throws -> [[Float]] {
        var decoded = Array(repeating: [Float](), count: Self.layers)
        try compressor.decode(positions, of: sequence, in: work) { layer, rows in
            for row in 0..<rows.rows { decoded[layer].append(contentsOf: rows[row: row]) }
        }
        return decoded
    }

    private static func pieces(of count: Int, _ random: inout Random) -> [Int] {
        var pieces: [Int] = []
        while pieces.reduce(0, +) < count { pieces.append(min(1 + random.below(90), count - pieces.reduce(0, +))) }
        return pieces
    }

    /// Layers are predicted from what tells about them, and a file says so.
    @Test func inputsComeBackFromAFile() throws {
        let compressor = try Self.compressor(), layers = compressor.layers.map(\.parameters)
        #expect(layers[0].inputs == [] && layers[1].inputs == [], "nothing tells about these")
        #expect(layers[2].inputs.allSatisfy { $0 >= 2 } && layers[3].inputs.allSatisfy { $0 < 2 }, "sources")
        let path = NSTemporaryDirectory() + "deltakv-\(UUID().uuidString).deltakv"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try CompressorFile.save(compressor, path: path)
        #expect(try CompressorFile.load(path: path, forModelDigest: "d").layers.map(\.parameters) == layers)
    }

    /// A layer that takes both halves of its second source, with other inputs of as many.
    @Test(arguments: [[2, 3], [3, 2], [2, 2], [-1, 3], [3, 5], [2], [2, 3, 4]])
    func inputsThatAreNoneAreRefused(inputs: [Int]) throws {
        var layer = try Self.compressor().layers[2].parameters
        layer.prediction = EightBitMatrix(
            rows: Self.columns, columns: Self.columns, codes: Array(repeating: 1, count: Self.columns * Self.columns),
            scales: Array(repeating: 1, count: Self.columns))
        layer.inputs = inputs
        // As long as what the last of these inputs would ask for.
        let sources = (inputs.last ?? 0) / 2 + 1
        layer.sourceMean = Array(repeating: 0, count: sources * Self.columns)
        layer.sourceScale = Array(repeating: 1, count: sources * Self.columns)
        #expect(layer.fits(CodecSettings(prototypes: 16)) == (inputs == [2, 3]))
    }

    @Test func anySplitThreadsAndInstructionsGiveTheSameBytesAndRows() throws {
        let compressor = try Self.compressor()
        #expect(compressor.layers.map(\.sources) == [0, 0, 2, 1], "sources where they save bits")
        var all = Self.rows(count: 400, seed: 7), random = Random(5)
        let whole = try encode(&all, pieces: [400], with: compressor, in: work(Self.columns, maxRows: 400))
        for set in InstructionSet.supported {
            for threads in 1...2 {
                let space = try work(Self.columns, threads: threads, set: set, maxRows: 1 + random.below(70))
                let pieces = Self.pieces(of: 400, &random)
                let split = try encode(&all, pieces: pieces, with: compressor, in: space)
                #expect(split.0 == whole.0, "\(set), \(threads) threads, pieces \(pieces)")
                #expect(split.decoded == whole.decoded, "\(set), \(threads) threads, pieces \(pieces)")
            }
        }
    }

    /// All layers at once, in place, are what one after another is.
    @Test func layersTogetherAreLayersOneByOne() throws {
        let compressor = try Self.compressor()
        var all = Self.rows(count: 150, seed: 8), random = Random(7)
        let whole = try encode(&all, pieces: [150], with: compressor, in: work(Self.columns))
        for set in InstructionSet.supported {
            for threads in 1...3 {
                let space = try work(Self.columns, threads: threads, set: set, maxRows: 1 + random.below(70))
                let encoder = try SequenceEncoder(compressor, in: space)
                let rows = try SegmentRows(layers: Self.layers, tokens: 150, columns: Self.columns)
                for layer in 0..<Self.layers {
                    rows.layers[layer].base.update(from: all[layer].values, count: 150 * Self.columns)
                }
                var first = 0
                for count in Self.pieces(of: 150, &random) {
                    try encoder.encode(rows.layers.map { $0.rows(first, count) })
                    first += count
                }
                #expect(encoder.sequence == whole.0, "\(set), \(threads) threads")
                for layer in 0..<Self.layers {
                    let found = UnsafeBufferPointer(start: rows.layers[layer].base, count: 150 * Self.columns)
                    #expect(found.elementsEqual(whole.decoded[layer]), "\(set), \(threads) threads")
                }
            }
        }
    }

    @Test func anySubsetDecodesLikeTheWhole() throws {
        let compressor = try Self.compressor()
        var all = Self.rows(count: 300, seed: 9), random = Random(6)
        let space = try work(Self.columns, threads: 2)
        let (sequence, encoded) = try encode(&all, pieces: [300], with: compressor, in: space)
        let whole = try decode(Array(0..<300), of: sequence, with: compressor, in: space)
        #expect(whole == encoded)
        for set in InstructionSet.supported {
            let some = (0..<40).map { _ in random.below(300) }
            let found = try decode(some, of: sequence, with: compressor, in: work(Self.columns, set: set, maxRows: 7))
            for layer in 0..<Self.layers {
                for (index, position) in some.enumerated() {
                    let n = Self.columns
                    #expect(
                        found[layer][index * n..<(index + 1) * n] == whole[layer][position * n..<(position + 1) * n])
                }
            }
        }
    }

    /// Segments come back from their sections and are continued as if they had not been away; damaged ones are refused.
    @Test func segmentsComeBackAndAreContinued() throws {
        let compressor = try Self.compressor(), space = try work(Self.columns)
        var all = Self.rows(count: 100, seed: 3)
        let (whole, decoded) = try encode(&all, pieces: [100], with: compressor, in: space)
        let encoder = try SequenceEncoder(compressor, in: space), other = try SequenceEncoder(compressor, in: space)
        for layer in 0..<Self.layers {
            try all[layer].withMatrix { _ = try encoder.encode(layer: layer, $0.first(64)) }
        }
        for positions in [0..<32, 32..<64] {
            let segment = try #require(CompressedSegment(sections: encoder.segment(positions).sections))
            let rows = try SegmentRows(layers: Self.layers, tokens: 32, columns: Self.columns)
            try other.append([segment], to: rows.layers)
            for layer in 0..<Self.layers {
                for row in 0..<32 {
                    let first = (positions.lowerBound + row) * Self.columns
                    #expect(rows.layers[layer][row: row].elementsEqual(decoded[layer][first..<first + Self.columns]))
                }
            }
        }
        #expect(other.sequence == encoder.sequence)
        // All at once, which is more than is coded at once.
        let together = try SequenceEncoder(compressor, in: work(Self.columns, maxRows: 48))
        let rows = try SegmentRows(layers: Self.layers, tokens: 64, columns: Self.columns)
        try together.append([encoder.segment(0..<32), encoder.segment(32..<64)], to: rows.layers)
        for layer in 0..<Self.layers {
            let found = (0..<64).flatMap { Array(rows.layers[layer][row: $0]) }
            #expect(found == Array(decoded[layer].prefix(64 * Self.columns)))
        }
        for layer in 0..<Self.layers {
            try all[layer].withMatrix { _ = try other.encode(layer: layer, $0.rows(64, 36)) }
        }
        #expect(other.sequence == whole)
        // A beginning has sinks, and does not belong after another one.
        let beginning = encoder.segment(0..<32)
        #expect(throws: CompressionError.self) { try other.append([beginning]) }
    }

    /// Segments one after another are segments at once, whoever appends them.
    @Test(arguments: InstructionSet.supported, 1...3)
    func segmentsAtOnceAreSegmentsOneByOne(_ set: InstructionSet, _ threads: Int) throws {
        let compressor = try Self.compressor(), tokens = 160
        var all = Self.rows(count: tokens, seed: 11)
        let (whole, decoded) = try encode(&all, pieces: [tokens], with: compressor, in: work(Self.columns))
        let segments = stride(from: 0, to: tokens, by: 32).map { first in
            CompressedSegment(
                layers: whole.layers.map {
                    $0.piece(first..<first + 32, columns: Self.columns, sinks: compressor.settings.sinks)
                })
        }
        for sizes in [[5], [1, 1, 1, 1, 1], [2, 3]] {
            let space = try work(Self.columns, threads: threads, set: set, maxRows: 16)
            let encoder = try SequenceEncoder(compressor, in: space)
            var next = 0
            for size in sizes {
                let rows = try SegmentRows(layers: Self.layers, tokens: 32 * size, columns: Self.columns)
                try encoder.append(Array(segments[next..<next + size]), to: rows.layers)
                for layer in 0..<Self.layers {
                    let found = UnsafeBufferPointer(start: rows.layers[layer].base, count: 32 * size * Self.columns)
                    let first = 32 * next * Self.columns
                    #expect(found.elementsEqual(decoded[layer][first..<first + found.count]), "\(sizes)")
                }
                next += size
            }
            #expect(encoder.sequence == whole, "\(sizes)")
        }
    }

    /// Of several layers that are damaged the first is named, whichever thread comes first.
    @Test func theFirstDamagedLayerIsNamed() throws {
        let compressor = try Self.compressor(), space = try work(Self.columns, threads: 2)
        var all = Self.rows(count: 32, seed: 12)
        let (whole, _) = try encode(&all, pieces: [32], with: compressor, in: space)
        let sound = CompressedSegment(
            layers: whole.layers.map { $0.piece(0..<32, columns: Self.columns, sinks: compressor.settings.sinks) })
        var layers = sound.layers
        for layer in [1, 3] { layers[layer].bytes.removeLast() }
        for _ in 0..<50 {
            let encoder = try SequenceEncoder(compressor, in: space)
            #expect(throws: CompressionError.damagedRows(layer: 1)) {
                try encoder.append([CompressedSegment(layers: layers)])
            }
        }
    }

    @Test func damagedSegmentsAreRefused() throws {
        let compressor = try Self.compressor(), space = try work(Self.columns)
        var all = Self.rows(count: 64, seed: 3), random = Random(4)
        let encoder = try SequenceEncoder(compressor, in: space)
        for layer in 0..<Self.layers { try all[layer].withMatrix { _ = try encoder.encode(layer: layer, $0) } }
        let sections = encoder.segment(0..<32).sections
        #expect(CompressedSegment(sections: []) == nil)
        for cut in 0..<8 {
            #expect(CompressedSegment(sections: [Array(sections[0].prefix(cut))] + sections.dropFirst()) == nil)
        }
        var refused = 0
        let rows = try SegmentRows(layers: Self.layers, tokens: 32, columns: Self.columns)
        for _ in 0..<500 {
            var damaged = sections
            let layer = random.below(damaged.count)
            damaged[layer][random.below(damaged[layer].count)] ^= 1 << UInt8(random.below(8))
            guard let segment = CompressedSegment(sections: damaged) else {
                refused += 1
                continue
            }
            do {
                try SequenceEncoder(compressor, in: space).append([segment], to: rows.layers)
            } catch CompressionError.damagedRows {
                refused += 1
            }
        }
        // A changed bit may make another row; most make none.
        #expect(refused > 100)
    }

    /// What the layers before tell is not coded again.
    @Test func predictedLayersTakeFewerBytes() throws {
        let compressor = try Self.compressor(), space = try work(Self.columns)
        var all = Self.rows(count: 300, seed: 11)
        let layers = try encode(&all, pieces: [300], with: compressor, in: space).0.layers
        for layer in 2..<Self.layers { #expect(layers[layer].bytes.count < layers[0].bytes.count * 9 / 10) }
    }
}
