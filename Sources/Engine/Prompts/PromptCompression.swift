// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Compression
import Inference

/// How an engine compresses prompts and keeps what they come to.
///
/// A prompt is cut into segments at absolute positions, and what is left after the last whole one into shorter ones, so that
/// little has to be computed where a prompt comes again or another one begins like it. A segment is computed over the decoded
/// rows of those before it, exactly within itself, then coded; everything after it sees its decoded rows. The last tokens stay
/// exact. So what a prompt's tokens see depends on the prompt alone, and a segment that was coded before, by this process or
/// another, may take the place of one computed now.
public struct PromptCompression: Sendable {
    /// The model's codec.
    public var compressor: Compressor
    /// Stands for the model, the codec and their settings in the keys of segments.
    public var fingerprint: CacheFingerprint
    /// Where segments are kept for later; nil to keep them in memory only.
    public let store: CacheStore?
    /// Writes them, behind the computation; nil where nothing is to be written.
    let writer: CacheWriter?

    /// Tokens of a segment.
    public static let segmentTokens = SegmentCoder.tokens
    /// Tokens of a segment after the last whole one: those of a page, which sequences share or do not.
    public static let tailTokens = KVPool.pageTokens

    /// Compression with a model's codec.
    ///
    /// - Parameters:
    ///   - store: Where segments are looked for.
    ///   - writes: Whether segments that are not there are written to it.
    ///   - report: Told, on a thread of its own, what became of each segment that was to be stored.
    public init(
        compressor: Compressor, fingerprint: CacheFingerprint, store: CacheStore? = nil, writes: Bool = true,
        report: @escaping @Sendable (Result<Publication, CacheError>) -> Void = { _ in }
    ) {
        self.compressor = compressor
        self.fingerprint = fingerprint
        self.store = store
        writer = writes ? store.map { CacheWriter(store: $0, report: report) } : nil
    }
}
