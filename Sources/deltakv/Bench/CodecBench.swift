// SPDX-License-Identifier: Apache-2.0

import Compression
import Engine
import Inference
import Kernels
import Tokenization

/// Times what coding a prompt costs beside computing it, and what it takes to bring coded segments back.
final class CodecBench: LayerTap {
    /// The line of JSON for one prompt length.
    struct Line: Encodable {
        let prompt: Int
        let prefillSeconds: Double
        let codingSeconds: Double
        /// Coding's part of prefill without it.
        let codingShare: Double
        let restoreSeconds: Double
        let bytesPerToken: Double
        /// Of keys and values in f16.
        let share: Double

        enum CodingKeys: String, CodingKey {
            case prompt, share
            case prefillSeconds = "prefill_seconds"
            case codingSeconds = "coding_seconds"
            case codingShare = "coding_share"
            case restoreSeconds = "restore_seconds"
            case bytesPerToken = "bytes_per_token"
        }
    }

    private let forward: ForwardPass
    private let compressor: Compressor
    private let work: CodecWorkspace
    private let pages: [PageID]
    private let rows: [ReservedMemory]
    private let queries: Int
    private static let segment = PromptCompression.segmentTokens

    init(model: LanguageModel, compressor: Compressor, threads: ThreadPool, dataType: KVDataType) throws {
        let c = model.configuration, count = KVPool.pages(forTokens: c.contextLength)
        let pool = try KVPool(configuration: c, dataType: dataType, pageCount: count)
        forward = try ForwardPass(model: model, pool: pool, threads: threads, maxRows: 512)
        pages = pool.allocate(count) ?? []
        self.compressor = compressor
        work = try CodecWorkspace(columns: compressor.columns, compute: forward.compute, maxRows: Self.segment)
        queries = c.heads * c.headDimension
        rows = try (0..<c.layers).map { _ in try ReservedMemory(count: 4 * Self.segment * compressor.columns) }
        forward.tap = self
    }

    var seesAttention: Bool { false }

    func projected(layer: Int, queryKeyValue: Matrix) {
        for row in 0..<queryKeyValue.rows {
            let source = queryKeyValue.base + row * queryKeyValue.stride + queries
            rows[layer].floats(at: 4 * row * compressor.columns).update(from: source, count: compressor.columns)
        }
    }

    func attend(layer: Int, rotated: Matrix, to attended: Matrix) -> Bool { false }

    /// Computes, codes and restores the whole segments of a prompt.
    func measure(_ tokens: [TokenID]) throws -> Line {
        let clock = ContinuousClock(), encoder = try SequenceEncoder(compressor, in: work)
        var prefill = Duration.zero, coding = Duration.zero, segments: [CompressedSegment] = []
        let count = tokens.count / Self.segment * Self.segment
        for first in stride(from: 0, to: count, by: Self.segment) {
            let piece = Segment(
                tokens: Array(tokens[first..<first + Self.segment]), position: first, pages: pages, wantsLogits: false)
            prefill += try clock.measure { try forward.run([piece]) { _, _ in } }
            coding += try clock.measure {
                for layer in rows.indices {
                    let exact = Matrix(rows[layer].floats(), rows: Self.segment, columns: compressor.columns)
                    let decoded = try encoder.encode(layer: layer, exact)
                    forward.store(decoded, layer: layer, position: first, pages: pages)
                }
                segments.append(encoder.segment(first..<first + Self.segment))
            }
        }
        let restore = try clock.measure {
            let other = try SequenceEncoder(compressor, in: work)
            for (index, segment) in segments.enumerated() {
                try other.append(segment) { [forward, pages] layer, decoded in
                    forward.store(decoded, layer: layer, position: index * Self.segment, pages: pages)
                }
            }
        }
        let bytes = Double(segments.reduce(0) { $0 + $1.byteCount }) / Double(count)
        return Line(
            prompt: count, prefillSeconds: prefill / .seconds(1), codingSeconds: coding / .seconds(1),
            codingShare: coding / prefill, restoreSeconds: restore / .seconds(1), bytesPerToken: bytes,
            share: bytes / Double(2 * compressor.columns * compressor.layers.count))
    }
}
