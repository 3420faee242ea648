// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Compression
import Inference
import Kernels

/// Codes the segments of prompts, and takes those that are in memory or in the store in place of computing them.
final class PromptCache {
    private let compression: PromptCompression
    private let pool: KVPool
    private let coder: SegmentCoder
    private let capture: RowCapture
    private var index = PrefixIndex()
    /// Bytes of coded rows that the allocator may still hold.
    private var mostCodedBytes = 0

    /// A cache for the prompts that `forward` computes in pages of `pool`.
    init(_ compression: PromptCompression, pool: KVPool, forward: ForwardPass) throws {
        self.compression = compression
        self.pool = pool
        coder = try SegmentCoder(compressor: compression.compressor, forward: forward)
        capture = RowCapture(forward.model.configuration)
        forward.tap = capture
    }

    /// What of a request is to be coded. At least one token is left over: the logits after it choose the first of the output.
    func plan(_ request: GenerationRequest) -> CodedPrompt {
        CodedPrompt(
            chain: ChunkChain(
                compression.fingerprint, salt: request.cacheSalt, segment: PromptCompression.segmentTokens,
                tail: PromptCompression.tailTokens, tokens: Array(request.prompt.dropLast()),
                secret: compression.store?.settings.secret))
    }

    /// Bytes of the coded rows in memory.
    var codedBytes: Int { index.codedBytes }

    /// Bytes of coded rows, and of rows that are to be coded of so many sequences.
    func takenMemory(underWay: Int) -> Int { codedBytes + coder.bufferBytes(inUse: underWay) }

    /// Gives up segments that nobody uses until so many pages are free.
    ///
    /// - Parameter besidePacked: Whether the coded rows of those that wait are to fit into the same memory.
    /// - Returns: Whether they are.
    func makeRoom(pages: Int, besidePacked: Bool) -> Bool {
        while pool.freePages - (besidePacked ? packedPages : 0) < pages {
            guard let idle = index.evict() else { return false }
            pool.release(idle)
        }
        trimCoded()
        return true
    }

    /// Gives memory of coded rows that are gone back to the system, which the allocator would keep, a larger part at a time.
    private func trimCoded() {
        mostCodedBytes = max(mostCodedBytes, codedBytes)
        guard mostCodedBytes - codedBytes >= 64 << 20 else { return }
        Heap.trim()
        mostCodedBytes = codedBytes
    }

    /// Pages that could be had for the memory of packed segments.
    private var packedPages: Int {
        let cost = EngineSettings.bytes(ofPage: pool.pageBytes, coded: true)
        return (index.packedBytes + cost - 1) / cost
    }

    /// Gives memory of free pages back to the system in the measure in which segments are packed.
    func trimPages() { pool.discard(downTo: pool.pageCount - packedPages) }

    /// Begins a sequence with the segments of it that are in memory: their pages are its first.
    func begin(_ sequence: inout ActiveSequence) {
        while takeResident(&sequence) {}
    }

    /// Ends a sequence's use of segments. Its pages are not this cache's to give back.
    func end(_ sequence: ActiveSequence) {
        guard let coded = sequence.coded else { return }
        index.leave(coded.doneKeys)
        index.endWait(coded.awaitedKeys)
        coder.recycle(coded.rows)
    }

    /// Takes a sequence that is to wait for another turn off its segments; their coded rows stay in memory.
    func suspend(_ sequence: ActiveSequence) { index.suspend(sequence.coded?.doneKeys ?? []) }

    /// Takes the next segment of a sequence that stands at its beginning, from memory or from the store, and more after it.
    ///
    /// - Parameter most: Segments that may be decoded.
    /// - Returns: How many were; nil where the next one is to be computed.
    func takeNext(_ sequence: inout ActiveSequence, most: Int) throws(CompressionError) -> Int? {
        if takeResident(&sequence) { return 0 }
        if try takePacked(&sequence) { return 1 }
        return try takeStored(&sequence, most: most)
    }

    /// Whether a sequence's next segment is there in coded form, or may be.
    func mayBeCoded(_ sequence: ActiveSequence) -> Bool {
        guard let coded = sequence.coded else { return false }
        if let key = coded.nextKey, index.packed(key) != nil { return true }
        guard compression.store != nil else { return false }
        return coded.stored.map { coded.done < $0.count } ?? true
    }

    private func takeResident(_ sequence: inout ActiveSequence) -> Bool {
        guard var coded = sequence.coded, let key = coded.nextKey, let (pages, seconds) = index.use(key) else {
            return false
        }
        pool.retain(pages)
        let first = coded.codedTokens / KVPool.pageTokens
        // Before it is admitted a sequence has no pages of its own.
        let own = sequence.pages.dropFirst(first).prefix(pages.count)
        pool.release(own)
        sequence.pages.replaceSubrange(first..<first + own.count, with: pages)
        coded.encoder = nil
        coded.reuse(seconds: seconds)
        index.endWait(coded.awaitedKeys.prefix(1))
        sequence.coded = coded
        sequence.advancePrompt()
        return true
    }

    /// Decodes a segment whose coded rows are in memory.
    private func takePacked(_ sequence: inout ActiveSequence) throws(CompressionError) -> Bool {
        guard let coded = sequence.coded, let key = coded.nextKey, let (segment, seconds) = index.packed(key) else {
            return false
        }
        let encoder = try encoder(of: coded)
        try coder.restore([segment], with: encoder, pages: sequence.pages)
        sequence.coded?.encoder = encoder
        sequence.coded?.reuse(seconds: seconds)
        index.unpack(key, pages: holdNextPages(sequence))
        index.endWait(coded.awaitedKeys.prefix(1))
        sequence.advancePrompt()
        return true
    }

    private func takeStored(_ sequence: inout ActiveSequence, most: Int) throws(CompressionError) -> Int? {
        guard let store = compression.store, var coded = sequence.coded, coded.nextKey != nil else { return nil }
        if coded.stored == nil {
            let loaded = store.load(coded.chain)
            coded.stored = loaded.chunks
            coded.storeMiss = loaded.miss
            sequence.coded = coded
        }
        guard let chunks = coded.stored, coded.done < chunks.count else { return nil }
        let run = storedRun(coded, chunks, most: coded.isDoubtful ? 1 : most)
        let segments = run.compactMap {
            CompressedSegment(sections: chunks[$0].sections.sorted { $0.id < $1.id }.map(\.bytes))
        }
        let encoder = try encoder(of: coded)
        guard segments.map(\.count) == run.map({ coded.chain.positions($0).count }),
            try areRestored(segments, with: encoder, pages: sequence.pages)
        else {
            sequence.coded?.encoder = nil
            // Those before the one that is no segment are of use.
            if run.count > 1 {
                sequence.coded?.isDoubtful = true
                return try takeStored(&sequence, most: most)
            }
            // Checksums say that it is what was written: whoever wrote it had other rules. It is computed.
            sequence.coded?.stored = []
            sequence.coded?.storeMiss = .format
            return nil
        }
        sequence.coded?.encoder = encoder
        for (place, segment) in zip(run, segments) {
            sequence.coded?.reuse(seconds: chunks[place].prefillSeconds)
            enter(coded.chain.keys[place], segment, seconds: chunks[place].prefillSeconds, &sequence)
        }
        return run.count
    }

    /// The next stored segments of a prompt that are decoded together: up to one that is in memory already.
    private func storedRun(_ coded: CodedPrompt, _ chunks: [LoadedChunk], most: Int) -> Range<Int> {
        var end = coded.done + 1
        while end < chunks.count, end - coded.done < most, index.segment(coded.chain.keys[end]) == nil { end += 1 }
        return coded.done..<end
    }

    /// Whether stored segments could be decoded; other failures are not their fault.
    private func areRestored(
        _ segments: [CompressedSegment], with encoder: SequenceEncoder, pages: [PageID]
    ) throws(CompressionError) -> Bool {
        do throws(CompressionError) {
            try coder.restore(segments, with: encoder, pages: pages)
            return true
        } catch .damagedRows {
            return false
        }
    }

    /// Names the rows of a step that segments need.
    func prepare(_ work: [Scheduler.Work], _ sequences: inout [Scheduler.ID: ActiveSequence]) throws(CompressionError) {
        capture.spans.removeAll(keepingCapacity: true)
        var row = 0
        for item in work {
            defer { row += item.positions.count }
            guard let coded = sequences[item.id]?.coded, item.positions.lowerBound < coded.allTokens else { continue }
            let rows = if let rows = coded.rows { rows } else { try coder.buffer() }
            sequences[item.id]?.coded?.rows = rows
            capture.spans.append(
                RowCapture.Span(
                    row: row, count: item.positions.count, rows: rows,
                    first: item.positions.lowerBound - coded.codedTokens))
        }
    }

    /// Codes the segment that a sequence has just computed, if it has.
    func codeNext(_ sequence: inout ActiveSequence) throws(CompressionError) {
        guard let coded = sequence.coded, let key = coded.nextKey, let next = coded.next, let rows = coded.rows,
            sequence.computedTokens == next.upperBound
        else { return }
        // Another sequence may have been as far first: one segment, one entry.
        if takeResident(&sequence) { return }
        if try takePacked(&sequence) { return }
        let encoder = try encoder(of: coded)
        let segment = try coder.code(rows, count: next.count, with: encoder, pages: sequence.pages)
        sequence.coded?.encoder = encoder
        if coded.miss == nil { sequence.coded?.miss = coded.storeMiss ?? .absent }
        compression.writer?.submit(
            segment.sections.enumerated().map { CacheSection(id: UInt32($0), bytes: $1) }, at: coded.done,
            of: coded.chain, prefillSeconds: coded.seconds, pins: coded.stored ?? [])
        sequence.coded?.seconds = 0
        enter(key, segment, seconds: coded.seconds, &sequence)
        guard sequence.coded?.nextKey == nil else { return }
        coder.recycle(rows)
        sequence.coded?.rows = nil
    }

    /// Notes that a sequence's pages hold its next segment.
    private func enter(
        _ key: ChunkKey, _ segment: CompressedSegment, seconds: Double, _ sequence: inout ActiveSequence
    ) {
        guard let coded = sequence.coded else { return }
        index.insert(key, pages: holdNextPages(sequence), segment: segment, seconds: seconds, depth: coded.done)
        sequence.advancePrompt()
    }

    /// Holds the pages of a sequence's next segment for the index.
    private func holdNextPages(_ sequence: ActiveSequence) -> [PageID] {
        guard let next = sequence.coded?.next else { return [] }
        let pages = sequence.pages[next.lowerBound / KVPool.pageTokens..<next.upperBound / KVPool.pageTokens]
        pool.retain(pages)
        return Array(pages)
    }

    private func encoder(of coded: CodedPrompt) throws(CompressionError) -> SequenceEncoder {
        if let encoder = coded.encoder { return encoder }
        let segments = coded.doneKeys.compactMap { index.segment($0) }
        precondition(segments.count == coded.done, "a segment in use was given up")
        return try coder.encoder(after: segments)
    }
}
