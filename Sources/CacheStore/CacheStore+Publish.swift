// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles

/// What became of a chunk that was to be written.
public enum Publication: Sendable, Equatable {
    /// It is on the disk for good: a file of so many bytes.
    case written(bytes: Int)
    /// It was there already.
    case present
    /// Another process is writing it, or holds it for another reason, at this moment.
    case busy
    /// The chunk before it is not there, so that nobody could use it.
    case unreachable
    /// The budget or the floor of free space leaves no room for it, after all that could go has gone.
    case noRoom
}

extension CacheStore {
    /// Writes a chunk so that it is there whole or not at all, also after a power cut. Of several processes with the same chunk
    /// one writes it. Evicts other chunks where the budget or the free space asks for it.
    ///
    /// - Parameters:
    ///   - sections: What the chunk holds; ids are unique.
    ///   - index: Its place in `chain`.
    ///   - prefillSeconds: What it cost to compute.
    /// - Throws: ``CacheError``; ``CacheError/diskFull(path:)`` where the file found no room. Nothing is left of it then.
    public func publish(
        _ sections: [CacheSection], at index: Int, of chain: ChunkChain, prefillSeconds: Double
    ) throws(CacheError) -> Publication {
        try Self.check(sections, prefillSeconds)
        let link = chain.link(index)
        // The parent stays while its child is written.
        let parent = index == 0 ? nil : settled(link.parent)
        guard index == 0 || (parent != nil && directory.exists(link.parent)) else { return .unreachable }
        defer { withExtendedLifetime(parent) {} }
        guard let lock = own(link.key) else { return directory.exists(link.key) ? .present : .busy }
        defer { withExtendedLifetime(lock) {} }
        if isUsable(link.key) { return .present }
        let bytes = ChunkFile.bytes(
            link, sections, prefillSeconds: prefillSeconds, created: now(), secret: settings.secret)
        guard try makeRoom(for: bytes.count, keeping: link) else {
            state.withLock { $0.statistics.refused += 1 }
            return .noRoom
        }
        try write(bytes, link.key)
        return .written(bytes: bytes.count)
    }

    func write(_ bytes: [UInt8], _ key: ChunkKey) throws(CacheError) {
        let result = bytes.withUnsafeBytes { bytes in
            Result { () throws(DurableFile.Failure) in
                try DurableFile.write(bytes, to: directory.chunk(key), by: directory.temporary(key), permissions: 0o600)
            }
        }
        if case .failure(let failure) = result { throw CacheError(failure) }
        let header = try? ChunkHeader(of: bytes)
        guard let header else { preconditionFailure("a chunk that was just made does not read") }
        let entry = CacheEntry(header, lastUsed: now())
        state.withLock { state in
            state.catalogue.insert(entry)
            state.statistics.written += 1
            state.statistics.bytesWritten += bytes.count
        }
    }

    /// Whether the file of a chunk need not be written again.
    private func isUsable(_ key: ChunkKey) -> Bool {
        guard let reader = try? ChunkReader(path: directory.chunk(key)) else { return false }
        return reader.header.key == key && !reader.header.isExpired(after: settings.life, now: now())
    }

    /// A chunk for oneself, unless it is there. Who merely looked whether it is there has it for microseconds.
    private func own(_ key: ChunkKey) -> KeyLock? {
        for _ in 0..<20 {
            if let lock = locks.exclusive(key) { return lock }
            if directory.exists(key) { return nil }
            usleep(5000)
        }
        return nil
    }

    /// A lock on a chunk that another process may be about to finish.
    private func settled(_ key: ChunkKey) -> KeyLock? {
        for _ in 0..<400 {
            if let lock = locks.shared(key) { return lock }
            usleep(5000)
        }
        return nil
    }

    private static func check(_ sections: [CacheSection], _ seconds: Double) throws(CacheError) {
        guard (1...ChunkHeader.mostSections).contains(sections.count),
            Set(sections.map(\.id)).count == sections.count,
            sections.allSatisfy({ $0.bytes.count <= ChunkHeader.mostSectionBytes }), seconds.isFinite, seconds >= 0
        else {
            throw .invalid(
                "a chunk has 1 to \(ChunkHeader.mostSections) sections of different ids and up to 1 GiB each, and cost some time"
            )
        }
    }
}
