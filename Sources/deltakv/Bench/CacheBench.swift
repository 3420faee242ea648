// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Foundation

/// How fast a chain of chunks is written and loaded, in a directory of its own.
struct CacheBench {
    /// One operation's result.
    struct Row: Encodable {
        /// `write` or `load`.
        let operation: String
        /// Whether files are encrypted.
        let isEncrypted: Bool
        let chunks: Int
        /// Of all files.
        let bytes: Int
        /// For the whole chain, in milliseconds.
        let median: Double, best: Double

        enum CodingKeys: String, CodingKey {
            case operation, chunks, bytes
            case isEncrypted = "encrypted"
            case median = "median_ms"
            case best = "best_ms"
        }
    }

    /// As large as the default codec makes 7,168 tokens of the default model: bytes of a layer for a chunk.
    private static let segment = 512, chunks = 14, layers = 30, layerBytes = 22_700
    private static let rounds = 21

    /// Beside which a directory for the measurement is made, and removed.
    let directory: String

    func rows() throws -> [Row] {
        let plain = CacheSettings(budget: 1 << 40, life: nil, freeFloor: 0)
        var encrypted = plain
        encrypted.secret = .init(size: .bits256)
        return try rows(plain) + rows(encrypted)
    }

    private func rows(_ settings: CacheSettings) throws -> [Row] {
        let path = "\(directory)-bench-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let store = try CacheStore(directory: path, settings: settings)
        let fingerprint = CacheFingerprint(
            weights: "", tokenizer: "", compressor: "", rope: "", segment: Self.segment)
        // Random bytes, since coded rows are packed no further either.
        let sections = (0..<Self.layers).map { layer in
            CacheSection(id: UInt32(layer), bytes: (0..<Self.layerBytes).map { _ in .random(in: 0...255) })
        }
        var writes: [Double] = [], loads: [Double] = []
        for round in 0..<Self.rounds {
            let tokens = (0..<Self.chunks * Self.segment).map { Int32(truncatingIfNeeded: $0 + round) }
            let chain = store.chain(fingerprint, segment: Self.segment, tokens: tokens)
            writes.append(
                try milliseconds {
                    for index in 0..<chain.count {
                        _ = try store.publish(sections, at: index, of: chain, prefillSeconds: 1)
                    }
                })
            loads.append(
                milliseconds {
                    let loaded = store.load(chain)
                    precondition(loaded.chunks.count == Self.chunks, "the chain is not there: \(loaded)")
                })
        }
        return [("write", writes), ("load", loads)].map { operation, times in
            Row(
                operation: operation, isEncrypted: settings.secret != nil, chunks: Self.chunks,
                bytes: store.bytes / Self.rounds, median: rounded(times.sorted()[times.count / 2]),
                best: rounded(times.min() ?? 0))
        }
    }

    private func milliseconds(_ work: () throws -> Void) rethrows -> Double {
        let time = try ContinuousClock().measure(work)
        return Double(time.components.seconds) * 1e3 + Double(time.components.attoseconds) / 1e15
    }

    private func rounded(_ value: Double) -> Double { (100 * value).rounded() / 100 }
}
