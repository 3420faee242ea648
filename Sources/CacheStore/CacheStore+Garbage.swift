// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What ``CacheStore/collectGarbage()`` removed.
public struct GarbageReport: Sendable, Equatable, Codable {
    /// Files of writes that were broken off.
    public var temporaries = 0
    /// Files that are no chunks, or not those that their names say.
    public var damaged = 0
    /// Chunks that are too old, and those after them.
    public var expired = 0
    /// Chunks after a chunk that is missing.
    public var orphans = 0
    /// Chunks that went for the budget or the floor of free space.
    public var evicted = 0
    /// Bytes of all these files.
    public var freedBytes = 0

    /// Whether nothing was removed.
    public var isEmpty: Bool { self == GarbageReport() }
}

extension CacheStore {
    /// Removes what is of no use and, where the budget asks for it, what is of least use. Never what is in use. Several processes
    /// may do it at once, beside others that read and write.
    ///
    /// - Throws: ``CacheError`` where the directory cannot be read.
    public func collectGarbage() throws(CacheError) -> GarbageReport {
        try scan()
        var report = GarbageReport()
        try removeUnreadable(&report)
        removeUnreachable(&report)
        let before = (state.withLock { $0.statistics.evicted }, bytes)
        _ = try makeRoom(for: 0)
        report.evicted = state.withLock { $0.statistics.evicted } - before.0
        report.freedBytes += max(0, before.1 - bytes)
        return report
    }

    private func removeUnreadable(_ report: inout GarbageReport) throws(CacheError) {
        let known = state.withLock { $0.catalogue.entries }
        for name in try directory.names() {
            switch name {
            case .temporary(let key):
                // A file that is being written has a writer who holds its key.
                guard let lock = locks.exclusive(key) else { continue }
                defer { lock.release() }
                let size = fileSize(directory.temporary(key))
                guard unlink(directory.temporary(key)) == 0 else { continue }
                report.temporaries += 1
                report.freedBytes += size
            case .chunk(let key) where known[key] == nil:
                let size = fileSize(directory.chunk(key))
                guard discard(key, if: { hasDamagedHeader(key) && !isOfLaterVersion(key) }) else { continue }
                report.damaged += 1
                report.freedBytes += size
            case .chunk: break
            }
        }
    }

    private func removeUnreachable(_ report: inout GarbageReport) {
        let time = now(), entries = state.withLock { $0.catalogue.entries }
        func isUsable(_ entry: CacheEntry) -> Bool {
            settings.life.map { time.timeIntervalSince(entry.created) <= $0.seconds } ?? true
        }
        for (entry, blocker) in EvictionOrder.unreachable(entries, isUsable: isUsable) {
            let isExpired = entries[blocker] != nil
            // The picture may be old: another process may have put the missing chunk there, or a new one for the old.
            let isGone = remove(entry.key) { isExpired ? isExpiredOnDisk(blocker, time) : !directory.exists(blocker) }
            guard isGone else { continue }
            report.freedBytes += entry.bytes
            if isExpired { report.expired += 1 } else { report.orphans += 1 }
        }
        state.withLock { [report] state in
            state.statistics.expired += report.expired
            state.statistics.orphaned += report.orphans
        }
    }

    private func isExpiredOnDisk(_ key: ChunkKey, _ time: Date) -> Bool {
        guard let reader = try? ChunkReader(path: directory.chunk(key)) else { return false }
        return reader.header.isExpired(after: settings.life, now: time)
    }

    /// Files of a later version of the program are left to it.
    private func isOfLaterVersion(_ key: ChunkKey) -> Bool {
        let file = FileHandle(forReadingAtPath: directory.chunk(key))
        guard let data = try? file?.read(upToCount: 12), data.count == 12 else { return false }
        let bytes = [UInt8](data)
        return bytes.starts(with: ChunkHeader.magic) && bytes.little(8, UInt32.self) > ChunkHeader.version
    }

    private func fileSize(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
