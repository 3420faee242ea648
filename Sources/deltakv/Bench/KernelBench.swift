// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Kernels
import ModelFiles

/// Measures kernels one by one on a model's shapes, beside what the machine can do.
struct KernelBench {
    /// One kernel on one shape.
    struct Row: Encodable {
        let kernel: String
        let shape: String
        /// Billions of operations a second, two for each multiply-add.
        let gops: Double
        /// Billions of bytes of weights or keys and values read a second.
        let gbps: Double
        /// The limit that counts here: int8 operations or memory reads.
        let limit: String
        /// The share of that limit.
        let share: Double
    }

    private let configuration: ModelConfiguration
    private let compute: Compute
    private let limits: MachineLimits
    private var random = SystemRandomNumberGenerator()

    /// - Throws: `KernelError` if memory is refused.
    init(_ configuration: ModelConfiguration, threads: ThreadPool) throws {
        self.configuration = configuration
        compute = Compute(pool: threads, instructionSet: try .fromEnvironment())
        limits = try MachineLimits(compute)
    }

    /// Measures all kernels.
    mutating func rows() throws -> [Row] {
        var rows: [Row] = []
        for type in [QuantizedType.q4_1, .q8_0] {
            for batch in [1, 8, 512] { rows.append(try feedForward(type, batch: batch)) }
        }
        for type in [KVDataType.int8, .float16] {
            rows.append(try attention(type, sequences: 1, position: 3488, tokens: 512))
            rows.append(try attention(type, sequences: 1, position: 3999, tokens: 1))
            rows.append(try attention(type, sequences: 8, position: 3999, tokens: 1))
        }
        return rows
    }

    /// Bytes that are passed through from one use of a weight or a page to the next, so that they come from memory.
    private static let workingSet = 192 << 20

    /// The gate and up projections of a feed-forward layer: most of a model's work.
    private mutating func feedForward(_ type: QuantizedType, batch: Int) throws -> Row {
        let inputs = configuration.hidden / 32 * 32, outputs = 2 * configuration.feedForward
        let bytes = inputs / 32 * type.blockBytes
        let block = (0..<bytes).map {
            $0 % type.blockBytes < 4 ? UInt8($0 % 2 * 0x1c) : UInt8.random(in: 0...255, using: &random)
        }
        let copies = max(2, Self.workingSet / (outputs * bytes))
        let matrices = try (0..<copies).map { _ in
            try block.withUnsafeBytes { block in
                try QuantizedMatrix(type: type, rows: outputs, columns: inputs) { _ in block }
            }
        }
        let x = matrix(batch, inputs), y = matrix(batch, outputs)
        let activations = try QuantizedActivations(maxRows: batch, maxColumns: inputs)
        activations.quantize(x.matrix, with: compute)
        var next = 0
        let seconds = best(of: copies) {
            matrices[next % copies].multiply(activations, into: y.matrix, with: compute)
            next += 1
        }
        let operations = 2.0 * Double(batch * inputs * outputs)
        return row(
            "linear \(type)", "\(batch) x \(outputs) x \(inputs)", seconds, operations, Double(matrices[0].byteCount),
            memoryBound: batch == 1)
    }

    /// Attention of `tokens` rows from `position` on of each of some sequences.
    private mutating func attention(_ type: KVDataType, sequences: Int, position: Int, tokens: Int) throws -> Row {
        let c = configuration, context = position + tokens,
            pages = (context + KVLayout.pageTokens - 1) / KVLayout.pageTokens
        let layer = KVLayout(layers: 1, kvHeads: c.kvHeads, headDimension: c.headDimension, dataType: type)
        let layers = max(2, Self.workingSet / (layer.pageBytes * pages * sequences))
        let layout = KVLayout(layers: layers, kvHeads: c.kvHeads, headDimension: c.headDimension, dataType: type)
        let memory = try ReservedMemory(
            count: layout.slabBytes(forPages: pages * sequences).partialValue, hugePages: true)
        let table = (0..<pages * sequences).map { layout.place(ofPage: $0, in: memory) }
        let queries = matrix(sequences * tokens, c.heads * c.headDimension)
        let y = matrix(sequences * tokens, c.heads * c.headDimension)
        fill(layout, table)
        let plan = try AttentionPlan(layout: layout, heads: c.heads, maxRows: sequences * tokens, compute: compute)
        return table.withUnsafeBufferPointer { table in
            guard let start = table.baseAddress else { preconditionFailure("no pages") }
            plan.prepare(
                (0..<sequences).map {
                    AttentionSpan(pages: start + $0 * pages, row: $0 * tokens, count: tokens, position: position)
                })
            var next = 0
            let seconds = best(of: layers) {
                plan.run(layer: next % layers, queries: queries.matrix, to: y.matrix)
                next += 1
            }
            let seen = (0..<tokens).reduce(0) { $0 + position + $1 + 1 } * sequences
            let operations = 4.0 * Double(seen * c.heads * c.headDimension)
            let bytes = Double(layout.pageBytes / layers / KVLayout.pageTokens * context * sequences)
            return row(
                "attention \(type)", "\(sequences) x \(tokens) over \(context)", seconds, operations, bytes,
                memoryBound: tokens == 1)
        }
    }

    /// Stores random keys and values in every slot of every layer.
    private mutating func fill(_ layout: KVLayout, _ pages: [KVPage]) {
        let rows = matrix(KVLayout.pageTokens, 2 * layout.kvHeads * layout.headDimension)
        let still =
            [Float](repeating: 1, count: layout.headDimension / 2)
            + [Float](repeating: 0, count: layout.headDimension / 2)
        let rotation = Array(repeatElement(still, count: KVLayout.pageTokens).joined())
        for page in pages {
            let slots = (0..<KVLayout.pageTokens).map { KVSlot(page: page, slot: UInt32($0)) }
            for layer in 0..<layout.layers {
                compute.rotateAndStore(
                    rows.matrix, heads: 0, layer: layer, layout: layout, rotation: rotation, slots: slots)
            }
        }
    }

    private mutating func matrix(_ rows: Int, _ columns: Int) -> OwnedMatrix {
        OwnedMatrix(rows: rows, columns: columns, using: &random)
    }

    /// Seconds of one call: the best of several rounds of `count` calls.
    private func best(of count: Int, _ body: () -> Void) -> Double {
        let clock = ContinuousClock()
        let rounds = (0..<6).map { _ in clock.measure { for _ in 0..<count { body() } } / .seconds(1) }
        return (rounds.min() ?? 0) / Double(count)
    }

    private func row(
        _ kernel: String, _ shape: String, _ seconds: Double, _ operations: Double, _ bytes: Double, memoryBound: Bool
    ) -> Row {
        let speed = memoryBound ? bytes / seconds : operations / seconds
        let most = memoryBound ? limits.bytesPerSecond : limits.int8OperationsPerSecond
        func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }
        return Row(
            kernel: kernel, shape: shape, gops: rounded(operations / seconds / 1e9),
            gbps: rounded(bytes / seconds / 1e9),
            limit: memoryBound
                ? "\(rounded(most / 1e9)) GB/s read" : "\(rounded(most / 1e9)) int8 GOP/s",
            share: (speed / most * 1000).rounded() / 1000)
    }
}

/// Random rows in memory of their own.
private final class OwnedMatrix {
    let matrix: Matrix
    private let values: UnsafeMutableBufferPointer<Float>

    init(rows: Int, columns: Int, using random: inout SystemRandomNumberGenerator) {
        values = .allocate(capacity: rows * columns)
        values.initialize(repeating: 0)
        for i in values.indices { values[i] = Float.random(in: -1...1, using: &random) }
        guard let base = values.baseAddress else { preconditionFailure("an empty matrix") }
        matrix = Matrix(base, rows: rows, columns: columns)
    }

    deinit { values.deallocate() }
}
