// SPDX-License-Identifier: Apache-2.0

import Compression
import Inference
import Kernels
import Tokenization

/// Times what coding a prompt costs beside computing it, and what it takes to bring coded segments back.
struct CodecBench {
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
    private let coder: SegmentCoder
    private let capture: RowCapture
    private let pages: [PageID]
    private let bytesInF16: Int

    init(model: LanguageModel, compressor: Compressor, threads: ThreadPool, dataType: KVDataType) throws {
        let c = model.configuration, count = KVPool.pages(forTokens: c.contextLength)
        let pool = try KVPool(configuration: c, dataType: dataType, pageCount: count)
        forward = try ForwardPass(model: model, pool: pool, threads: threads, maxRows: 512)
        pages = pool.allocate(count) ?? []
        coder = try SegmentCoder(compressor: compressor, forward: forward)
        capture = RowCapture(c)
        forward.tap = capture
        bytesInF16 = 2 * compressor.columns * c.layers
    }

    /// Computes, codes and restores the whole segments of a prompt.
    func measure(_ tokens: [TokenID]) throws -> Line {
        let clock = ContinuousClock(), encoder = try coder.encoder(after: []), rows = try coder.buffer()
        var prefill = Duration.zero, coding = Duration.zero, segments: [CompressedSegment] = []
        let length = SegmentCoder.tokens, count = tokens.count / length * length
        capture.spans = [.init(row: 0, count: length, rows: rows, first: 0)]
        for first in stride(from: 0, to: count, by: length) {
            let piece = Segment(
                tokens: Array(tokens[first..<first + length]), position: first, pages: pages, wantsLogits: false)
            prefill += try clock.measure { try forward.run([piece]) { _, _ in } }
            coding += try clock.measure {
                segments.append(try coder.code(rows, count: length, with: encoder, pages: pages))
            }
        }
        let restore = try clock.measure {
            let other = try coder.encoder(after: [])
            try coder.restore(segments, with: other, pages: pages)
        }
        coder.recycle(rows)
        let bytes = Double(segments.reduce(0) { $0 + $1.byteCount }) / Double(count)
        return Line(
            prompt: count, prefillSeconds: prefill / .seconds(1), codingSeconds: coding / .seconds(1),
            codingShare: coding / prefill, restoreSeconds: restore / .seconds(1), bytesPerToken: bytes,
            share: bytes / Double(bytesInF16))
    }
}
