// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Compression

/// How far a sequence's prompt is coded.
struct CodedPrompt {
    /// The segments that are to be coded; the last few tokens belong to none.
    let chain: ChunkChain
    /// Segments whose decoded rows are in the pages.
    var done = 0
    /// Segments that were done when the sequence last gave its turn to others.
    private(set) var kept = 0
    /// Segments that were not computed for this sequence.
    var reused = 0
    /// Seconds that these had cost when they were computed.
    var secondsSaved = 0.0
    /// Why the first segment that was computed for this sequence was not found.
    var miss: CacheMiss?
    /// Holds all segments that are done; made when it is first needed.
    var encoder: SequenceEncoder?
    /// Rows of the segment under way.
    var rows: SegmentRows?
    /// Time spent on the segment under way.
    var seconds = 0.0
    /// What the store held, once it was asked; pinned there until the prompt is done.
    var stored: [LoadedChunk]?
    /// Why the store held no more.
    var storeMiss: CacheMiss?
    /// Whether one of what the store held did not decode, so that they are decoded one by one to find which.
    var isDoubtful = false

    init(chain: ChunkChain) { self.chain = chain }

    /// Tokens that are coded, and tokens that are to be.
    var codedTokens: Int { chain.tokens(before: done) }
    var allTokens: Int { chain.tokens.count }
    /// Tokens that were not computed for this sequence.
    var reusedTokens: Int { chain.tokens(before: reused) }

    /// Notes that the next segment was found, and what it had cost; its own after a wait is none that it saves.
    mutating func reuse(seconds: Double) {
        guard done >= kept else { return }
        reused += 1
        secondsSaved += seconds
    }

    /// Notes that the next segment's rows are in the pages, and drops what only segments need once all are.
    mutating func advance() {
        done += 1
        guard done == chain.count else { return }
        encoder = nil
        stored = nil
    }

    /// Begins anew with a prompt that is done, for another turn.
    mutating func suspend() { (done, kept) = (0, done) }

    /// The positions of the next segment.
    var next: Range<Int>? { done < chain.count ? chain.positions(done) : nil }

    /// The key of the next segment.
    var nextKey: ChunkKey? { done < chain.count ? chain.keys[done] : nil }

    /// Keys of what is done.
    var doneKeys: ArraySlice<ChunkKey> { chain.keys[..<done] }

    /// Keys of what had been done before a wait and is not yet again.
    var awaitedKeys: ArraySlice<ChunkKey> { chain.keys[done..<max(done, kept)] }
}
