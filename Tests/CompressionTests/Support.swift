// SPDX-License-Identifier: Apache-2.0
import Foundation
import Inference
import Kernels
import ModelFiles
import Testing

@testable import Compression

/// Numbers without meaning, the same every time.
struct Random {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    /// Between −1 and 1, thinner towards the ends.
    mutating func value() -> Float {
        (0..<3).reduce(0) { sum, _ in sum + Float(Int64(bitPattern: next()) >> 32) / Float(Int32.max) } / 3
    }
}

/// Rows that look a little like keys and values: few directions carry most, tokens repeat with noise, columns have biases.
struct SampleRows {
    let columns: Int
    let count: Int
    var values: [Float]

    init(count: Int, columns: Int, seed: UInt64 = 1) {
        var random = Random(1)
        let kinds = 12, directions = 10
        let basis = (0..<directions * columns).map { _ in random.value() }
        let bias = (0..<columns).map { _ in 4 * random.value() }
        let typical = (0..<kinds * directions).map { _ in 3 * random.value() }
        self.columns = columns
        self.count = count
        values = []
        random = Random(seed &+ 100)
        for _ in 0..<count {
            let kind = random.below(kinds)
            var weights = (0..<directions).map { typical[kind * directions + $0] + random.value() }
            weights[0] *= 3
            for i in 0..<columns {
                let mixed = (0..<directions).reduce(Float(0)) { $0 + weights[$1] * basis[$1 * columns + i] }
                values.append(bias[i] + mixed + 0.1 * random.value())
            }
        }
    }

    mutating func withMatrix<Result>(_ body: (Matrix) throws -> Result) rethrows -> Result {
        try values.withUnsafeMutableBufferPointer { buffer in
            try body(Matrix(buffer.baseAddress.unsafelyUnwrapped, rows: count, columns: columns))
        }
    }
}

func work(_ columns: Int, threads: Int = 1, set: InstructionSet = .best, maxRows: Int = 64) throws -> CodecWorkspace {
    try CodecWorkspace(
        columns: columns, compute: Compute(pool: ThreadPool(threads: threads), instructionSet: set), maxRows: maxRows)
}

/// A codec calibrated on sample rows under the plain metric, with the tables of its own symbols.
func sampleCodec(columns: Int = 64, step: Float = 1) throws -> LayerCodec {
    let settings = CodecSettings(prototypes: 32, step: step)
    var rows = SampleRows(count: 1500, columns: columns)
    var decoded = rows.values
    let solution = try rows.withMatrix { matrix in
        try LayerSolver(
            layer: 3, settings: settings, blas: OpenBLAS(), compute: Compute(pool: ThreadPool(threads: 1)),
            rows: matrix.base, sources: [], lengths: [700, 800], columns: columns, metric: identity(columns),
            step: Double(step) * 0.2
        ).solve(decoded: &decoded)
    }
    let tables = try #require(CodeTables(frequencies: CodeTables.frequencies(counts: solution.counts)))
    return try LayerCodec(layer: 3, settings: settings, parameters: solution.parameters, tables: tables)
}

/// The plain metric, [n][n].
func identity(_ n: Int) -> [Double] { (0..<n * n).map { $0 % (n + 1) == 0 ? 1 : 0 } }

/// A layer without sources, solved from rows of one text.
func solve(_ rows: [Float], columns: Int, metric: [Double]) throws -> LayerSolver.Solution {
    var rows = rows, decoded = rows
    return try rows.withUnsafeMutableBufferPointer { buffer in
        try LayerSolver(
            layer: 2, settings: CodecSettings(prototypes: 16), blas: OpenBLAS(),
            compute: Compute(pool: ThreadPool(threads: 1)), rows: buffer.baseAddress.unsafelyUnwrapped,
            sources: [], lengths: [buffer.count / columns], columns: columns, metric: metric, step: 0.1
        ).solve(decoded: &decoded)
    }
}

/// Codes rows in pieces of given lengths.
func encode(
    _ rows: inout SampleRows, with codec: LayerCodec, pieces: [Int], in work: CodecWorkspace
) throws -> CompressedRows {
    var history = CompressedRows()
    let table = try ReferenceTable(codec: codec)
    try rows.withMatrix { matrix in
        var first = 0
        for count in pieces {
            let piece = Matrix(matrix.base + first * matrix.stride, rows: count, columns: matrix.columns)
            try codec.encode(piece, appendingTo: &history, references: table, in: work)
            first += count
        }
    }
    return history
}

func decode(
    _ positions: [Int], of history: CompressedRows, with codec: LayerCodec, table: ReferenceTable?,
    in work: CodecWorkspace
) throws -> [[Float]] {
    var values = Array(repeating: Float.nan, count: positions.count * codec.columns)
    try values.withUnsafeMutableBufferPointer { buffer in
        try codec.decode(
            positions, of: history, references: table,
            into: Matrix(buffer.baseAddress.unsafelyUnwrapped, rows: positions.count, columns: codec.columns), in: work)
    }
    return positions.indices.map { Array(values[$0 * codec.columns..<($0 + 1) * codec.columns]) }
}

/// The default model in the cache of `deltakv model fetch`.
enum DefaultModel {
    static let model: Result<LanguageModel, any Error> = Result { try LanguageModel(file: GGUFFile(path: path)) }

    static var path: String {
        ProcessInfo.processInfo.environment["DELTAKV_TEST_MODEL"]
            ?? NSHomeDirectory() + "/.cache/deltakv/models/smollm2-135m-instruct-q4_1.gguf"
    }

    static func get() throws -> LanguageModel {
        _ = try #require(
            FileManager.default.fileExists(atPath: path) ? true : nil,
            "no test model at \(path): run ops/test, which fetches it")
        return try model.get()
    }
}

extension SequenceEncoder {
    /// Takes segments as the next tokens, whose rows go where `layers` lie.
    func append(_ segments: [CompressedSegment], to layers: [Matrix]) throws(CompressionError) {
        let start = sequence.count
        let places = UnsafeMutablePointer<Matrix>.allocate(capacity: layers.count)
        defer { places.deallocate() }
        try append(segments) { positions, decode throws(CompressionError) in
            for (layer, matrix) in layers.enumerated() {
                (places + layer).initialize(to: matrix.rows(positions.lowerBound - start, positions.count))
            }
            try decode(
                RowSink(
                    put: { context, layer, first, count, rows, stride in
                        guard let places = context?.assumingMemoryBound(to: Matrix.self), let rows else { return }
                        for row in 0..<count {
                            places[layer][row: first + row].baseAddress?.update(
                                from: rows + row * stride, count: places[layer].columns)
                        }
                    }, context: places, layers: layers.count, rows: positions.count, columns: layers[0].columns))
        }
    }
}
