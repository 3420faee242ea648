// SPDX-License-Identifier: Apache-2.0
import Foundation
import Synchronization

/// Keys and values of prompts on disk, in chunks that follow from each other, for any number of processes at once.
///
/// A chunk is named by everything that decides what it holds, so that a wrong one cannot be found; what is found is checked,
/// and anything amiss is a miss with a reason. Methods block on the disk.
public final class CacheStore: Sendable {
    /// Where it is and what belongs to it.
    let directory: CacheDirectory
    /// How much it keeps.
    public let settings: CacheSettings
    let locks: KeyLocks
    let now: @Sendable () -> Date
    let state = Mutex(State())

    struct State {
        var catalogue = CacheCatalogue()
        var statistics = CacheStatistics()
        var uses: [ChunkKey: CacheUse] = [:]
        var scanned: ContinuousClock.Instant?
    }

    /// Opens a directory, makes it if need be, and looks through it.
    ///
    /// - Parameters:
    ///   - directory: An absolute path, of this user alone. Several processes may share it.
    ///   - settings: How much to keep. Processes that share a directory should agree.
    /// - Throws: ``CacheError``.
    public convenience init(directory: String, settings: CacheSettings = CacheSettings()) throws(CacheError) {
        try self.init(directory: directory, settings: settings, now: { Date() })
    }

    init(directory path: String, settings: CacheSettings, now: @escaping @Sendable () -> Date) throws(CacheError) {
        directory = try CacheDirectory(path: path)
        locks = try KeyLocks(path: directory.locks)
        self.settings = settings
        self.now = now
        try scan()
    }

    /// The directory's path.
    public var path: String { directory.path }

    /// Tells this directory from others, under whatever path and on whatever machine it is seen.
    public var id: UUID { directory.id }

    /// The keys of the chunks that tokens consist of.
    ///
    /// - Parameters:
    ///   - fingerprint: What the chunks depend on beside the tokens.
    ///   - salt: The tenant's; chunks of one salt are not found under another. Empty for none.
    ///   - segment: Tokens of a chunk.
    ///   - tail: Tokens of each chunk after the last segment; nil where nothing is kept of what does not fill one.
    ///   - tokens: From the beginning. A rest that fills no chunk is left out.
    public func chain(
        _ fingerprint: CacheFingerprint, salt: [UInt8] = [], segment: Int, tail: Int? = nil, tokens: [Int32]
    ) -> ChunkChain {
        ChunkChain(
            fingerprint, salt: SaltTag(salt: salt, secret: settings.secret), segment: segment, tail: tail,
            tokens: tokens)
    }

    /// The chunks there are, as last seen by this process.
    public var entries: [CacheEntry] { state.withLock { Array($0.catalogue.entries.values) } }

    /// Bytes of all files, as last seen by this process.
    public var bytes: Int { state.withLock { $0.catalogue.bytes } }

    /// Bytes that may still be written on the file system, the floor included; nil where it does not say.
    public var freeBytes: Int? { directory.freeBytes() }

    /// What this process has done.
    public var statistics: CacheStatistics { state.withLock { $0.statistics } }

    /// How much chunks were used since the last call, for whoever keeps the account.
    public func takeUses() -> [ChunkKey: CacheUse] {
        state.withLock { state in
            defer { state.uses = [:] }
            return state.uses
        }
    }

    /// Looks through the directory, for what other processes have written and removed.
    ///
    /// - Throws: ``CacheError``.
    public func scan() throws(CacheError) {
        let before = state.withLock { $0.catalogue.entries }
        var seen: Set<ChunkKey> = []
        for case .chunk(let key) in try directory.names() {
            seen.insert(key)
            var status = stat()
            guard stat(directory.chunk(key), &status) == 0 else { continue }
            if let known = before[key], known.bytes == Int(status.st_size) {
                let used = Date(timeIntervalSince1970: Double(status.st_mtim.tv_sec))
                state.withLock { $0.catalogue.touch(key, used) }
            } else if let reader = try? ChunkReader(path: directory.chunk(key)), reader.header.key == key {
                let entry = CacheEntry(reader.header, lastUsed: reader.lastUsed)
                state.withLock { $0.catalogue.insert(entry) }
            }
        }
        // What appeared meanwhile may have been passed over; what was known before and is gone is gone.
        for key in before.keys where !seen.contains(key) && !directory.exists(key) {
            state.withLock { $0.catalogue.remove(key) }
        }
        state.withLock { $0.scanned = .now }
    }
}
