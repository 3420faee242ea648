// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What a look at every byte of a chunk found.
public enum Verification: Sendable, Equatable {
    /// All is as it was written.
    case sound
    /// It is encrypted with another key, so that only its header could be checked.
    case locked
    /// It is damaged.
    case damaged(CacheMiss)
    /// The system could not read it.
    case unreadable
    /// It is not there any more.
    case gone
}

/// What ``CacheStore/scrub(bytesPerSecond:)`` found.
public struct ScrubReport: Sendable, Equatable, Codable {
    /// Chunks whose every byte is sound.
    public var sound = 0
    /// Chunks that were damaged, and removed.
    public var damaged = 0
    /// Chunks that cannot be checked for want of the key.
    public var locked = 0
    /// Chunks that the system could not read.
    public var unreadable = 0
    /// Bytes read.
    public var bytes = 0
}

extension CacheStore {
    /// Reads a whole chunk and checks everything that it says.
    public func verify(_ key: ChunkKey) -> Verification {
        inspect(key).found
    }

    /// Verifies all chunks, the first of a chain first, and removes damaged ones, so that they are computed and written anew.
    ///
    /// - Parameter bytesPerSecond: How fast at most, so that others keep the disk; nil for as fast as it goes.
    /// - Throws: ``CacheError`` where the directory cannot be read, `CancellationError`.
    public func scrub(bytesPerSecond: Int? = nil) async throws -> ScrubReport {
        try scan()
        var report = ScrubReport()
        for entry in entries.sorted(by: { ($0.index, $0.key.description) < ($1.index, $1.key.description) }) {
            try Task.checkCancellation()
            let (found, inode) = inspect(entry.key)
            report.bytes += entry.bytes
            switch found {
            case .sound: report.sound += 1
            case .locked: report.locked += 1
            case .unreadable: report.unreadable += 1
            case .gone: report.bytes -= entry.bytes
            case .damaged:
                report.damaged += 1
                discard(entry.key) { inode.map { leads(entry.key, to: $0) } ?? hasDamagedHeader(entry.key) }
            }
            if let bytesPerSecond {
                try await Task.sleep(for: .seconds(Double(entry.bytes) / Double(max(1, bytesPerSecond))))
            }
        }
        return report
    }

    /// Copies a chunk and all before it, each verified, into another directory, which serves as a cache then.
    ///
    /// - Returns: How many chunks.
    /// - Throws: ``CacheError`` where one of them is missing or damaged, or the directory cannot be written.
    public func export(_ key: ChunkKey, to path: String) throws(CacheError) -> Int {
        let target = try CacheStore(directory: path, settings: settings)
        var chain: [(ChunkKey, [UInt8], KeyLock)] = [], next = key
        while true {
            guard let pin = locks.shared(next) else { throw .invalid("chunk \(next) is being written or removed") }
            guard case .sound = verify(next), let data = FileManager.default.contents(atPath: directory.chunk(next)),
                let reader = try? ChunkReader(path: directory.chunk(next))
            else { throw .invalid("chunk \(next) is missing, damaged or encrypted with another key") }
            chain.append((next, Array(data), pin))
            if reader.header.index == 0 { break }
            next = reader.header.parent
        }
        for (key, bytes, _) in chain.reversed() where !target.directory.exists(key) {
            guard let lock = target.locks.exclusive(key) else {
                throw .invalid("chunk \(key) is being written in \(path): try again")
            }
            defer { withExtendedLifetime(lock) {} }
            try target.write(bytes, key)
        }
        return chain.count
    }

    private func inspect(_ key: ChunkKey) -> (found: Verification, inode: UInt64?) {
        var inode: UInt64?
        do throws(CacheMiss) {
            let reader = try ChunkReader(path: directory.chunk(key))
            inode = reader.inode
            guard reader.header.key == key else { throw .format }
            let tokens: [Int32]
            do throws(CacheMiss) {
                tokens = try reader.tokens(settings.secret)
            } catch {
                // The checksum of the header vouches for the bytes, so it is the key that is not theirs.
                return (.locked, inode)
            }
            guard reader.header.link(tokens: tokens).isConsistent else { throw .format }
            _ = try reader.sections(settings.secret)
            return (.sound, inode)
        } catch {
            switch error {
            case .absent: return (.gone, inode)
            case .unreadable: return (.unreadable, inode)
            default: return (.damaged(error), inode)
            }
        }
    }
}
