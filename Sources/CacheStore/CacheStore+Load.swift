// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Foundation
import Synchronization

/// A chunk in memory. While it lives its file is not evicted, by any process: keep it as long as its sequence runs, or the next
/// chunk of the chain may find no parent.
public final class LoadedChunk: Sendable {
    /// Its place in the chain, from 0.
    public let index: Int
    /// Its contents, as they were published.
    public let sections: [CacheSection]
    /// What it cost to compute.
    public let prefillSeconds: Double
    /// The file's size.
    public let fileBytes: Int
    private let pin: KeyLock

    init(index: Int, sections: [CacheSection], header: ChunkHeader, pin: KeyLock) {
        self.index = index
        self.sections = sections
        prefillSeconds = header.prefillSeconds
        fileBytes = header.fileBytes
        self.pin = pin
    }
}

/// What of a chain was there.
public struct LoadedChain: Sendable {
    /// The first chunks of the chain, without gaps.
    public let chunks: [LoadedChunk]
    /// Why there are no more of them; nil where all are there.
    public let miss: CacheMiss?
    /// Seconds of prefill that need not be spent.
    public var secondsSaved: Double { chunks.reduce(0) { $0 + $1.prefillSeconds } }
}

extension CacheStore {
    /// How many chunks of a chain have files, without a look into them.
    public func storedChunks(of chain: ChunkChain) -> Int {
        chain.keys.prefix { directory.exists($0) }.count
    }

    /// Loads a chain from its beginning to the first chunk that is missing or amiss. Chunks are read and checked in parallel.
    /// Files found damaged are removed, so that they are written anew.
    public func load(_ chain: ChunkChain) -> LoadedChain {
        let stored = storedChunks(of: chain)
        let results = Mutex<[Result<LoadedChunk, CacheMiss>?]>(Array(repeating: nil, count: stored))
        DispatchQueue.concurrentPerform(iterations: stored) { index in
            let result = Result { () throws(CacheMiss) in try load(chain.link(index)) }
            results.withLock { $0[index] = result }
        }
        var chunks: [LoadedChunk] = [], miss: CacheMiss?
        for result in results.withLock({ $0 }) {
            switch result {
            case .success(let chunk)?: chunks.append(chunk)
            case .failure(let reason)?: miss = reason
            case nil: miss = .absent
            }
            if miss != nil { break }
        }
        if miss == nil, chunks.count < chain.count { miss = .absent }
        if miss == .absent { miss = reasonOfAbsence(chain.link(chunks.count)) }
        account(for: chain, chunks, miss)
        return LoadedChain(chunks: chunks, miss: miss)
    }

    private func load(_ link: ChunkLink) throws(CacheMiss) -> LoadedChunk {
        guard let pin = locks.shared(link.key) else { throw .absent }
        let reader: ChunkReader
        do throws(CacheMiss) {
            reader = try ChunkReader(path: directory.chunk(link.key))
        } catch {
            pin.release()
            if error.isDamage { discard(link.key) { hasDamagedHeader(link.key) } }
            throw error
        }
        do throws(CacheMiss) {
            let header = reader.header
            guard header.fingerprint == link.fingerprint else { throw .fingerprint }
            guard header.salt == link.salt else { throw .salt }
            guard header.isExpired(after: settings.life, now: now()) == false else { throw .expired }
            guard header.link(tokens: try reader.tokens(settings.secret)) == link else { throw .format }
            let sections = try reader.sections(settings.secret)
            if now().timeIntervalSince(reader.lastUsed) > 60 { reader.touch() }
            return LoadedChunk(index: link.index, sections: sections, header: header, pin: pin)
        } catch {
            pin.release()
            if error.isDamage { discard(link.key) { leads(link.key, to: reader.inode) } }
            throw error
        }
    }

    private func reasonOfAbsence(_ link: ChunkLink) -> CacheMiss {
        state.withLock { $0.catalogue.isKnown(link.lineage, apartFrom: link.fingerprint) } ? .fingerprint : .absent
    }

    private func account(for chain: ChunkChain, _ chunks: [LoadedChunk], _ miss: CacheMiss?) {
        let time = now()
        state.withLock { state in
            if let miss { state.statistics.count(miss) }
            for chunk in chunks {
                let key = chain.keys[chunk.index]
                state.statistics.hits += 1
                state.statistics.secondsSaved += chunk.prefillSeconds
                state.statistics.bytesRead += chunk.fileBytes
                var use = CacheUse()
                use.hits = 1
                use.secondsSaved = chunk.prefillSeconds
                state.uses[key, default: CacheUse()].add(use)
                state.catalogue.touch(key, time)
            }
        }
    }
}

extension CacheMiss {
    /// Whether the file itself is of no use, to anybody.
    var isDamage: Bool {
        switch self {
        case .fingerprint, .salt, .partial, .checksum, .format: true
        case .absent, .expired, .unreadable: false
        }
    }
}
