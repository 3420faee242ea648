// SPDX-License-Identifier: Apache-2.0
import Foundation

extension CacheStore {
    /// How old the picture of the directory may be before one writes by it.
    private static let freshness: Duration = .seconds(10)

    /// Sees to it that a file of so many bytes fits the budget and leaves the free space that is to stay.
    ///
    /// - Returns: Whether it does now.
    func makeRoom(for needed: Int, keeping link: ChunkLink? = nil) throws(CacheError) -> Bool {
        if state.withLock({ $0.scanned.map { .now - $0 > Self.freshness } ?? true }) { try scan() }
        if missing(for: needed) <= 0 { return true }
        // Only by a fresh picture is anything removed.
        try scan()
        var goal = missing(for: needed)
        if goal <= 0 { return true }
        // A little more than is needed, so that not every chunk has to look again.
        goal += settings.budget / 50
        let entries = state.withLock { $0.catalogue.entries }
        var kept: Set<ChunkKey> = [], freed = 0
        if let parent = link?.parent { kept.insert(parent) }
        for entry in EvictionOrder.order(entries, now: now()) where freed < goal {
            if !kept.contains(entry.key), remove(entry.key) {
                freed += entry.bytes
                state.withLock { $0.statistics.evicted += 1 }
            } else {
                // What a chunk that stays follows from stays too.
                kept.insert(entry.parent)
            }
        }
        return missing(for: needed) <= 0
    }

    /// Bytes that have to go before a file of so many bytes may come.
    private func missing(for needed: Int) -> Int {
        let overBudget = bytes + needed - settings.budget
        guard let free = directory.freeBytes() else { return overBudget }
        return max(overBudget, settings.freeFloor + needed - free)
    }

    /// Removes a chunk that nobody uses.
    ///
    /// - Parameter condition: Asked when nobody can use it any more.
    /// - Returns: Whether it is gone.
    func remove(_ key: ChunkKey, if condition: () -> Bool = { true }) -> Bool {
        guard let lock = locks.exclusive(key) else { return false }
        defer { withExtendedLifetime(lock) {} }
        guard condition(), unlink(directory.chunk(key)) == 0 || errno == ENOENT else { return false }
        state.withLock { $0.catalogue.remove(key) }
        return true
    }

    /// Removes a damaged file unless somebody uses it or has replaced it.
    ///
    /// - Parameter isDamaged: Asked when nobody can replace it any more.
    /// - Returns: Whether it is gone.
    @discardableResult
    func discard(_ key: ChunkKey, if isDamaged: () -> Bool) -> Bool {
        let isGone = remove(key, if: isDamaged)
        if isGone { state.withLock { $0.statistics.damaged += 1 } }
        return isGone
    }

    /// Whether the file under a key's name is there and not even a chunk's header.
    func hasDamagedHeader(_ key: ChunkKey) -> Bool {
        do throws(CacheMiss) {
            return try ChunkReader(path: directory.chunk(key)).header.key != key
        } catch {
            return error.isDamage
        }
    }

    /// Whether a key's name still leads to a certain file.
    func leads(_ key: ChunkKey, to inode: UInt64) -> Bool {
        var status = stat()
        return stat(directory.chunk(key), &status) == 0 && UInt64(status.st_ino) == inode
    }
}
