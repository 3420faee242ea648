// SPDX-License-Identifier: Apache-2.0
import Foundation
import Synchronization

/// Locks on chunks that all processes using a directory agree on: shared while a chunk is in use, exclusive while it is written
/// or removed. The kernel gives them up when a process ends, however that happens.
///
/// All are one-byte record locks in one file, at a place that the key gives (open file description locks, fcntl(2)), so that
/// thousands cost no descriptors. Nobody ever waits for one. Two keys at one place, which needs equal first 62 bits, only
/// get in each other's way.
final class KeyLocks: Sendable {
    private let descriptor: Int32
    /// Who holds a place in this process: the number of those that share it, or −1.
    private let held = Mutex<[Int64: Int]>([:])
    /// `F_OFD_SETLK` of fcntl(2), which the C library's module leaves out.
    private static let setLock: Int32 = 37

    /// - Throws: ``CacheError`` where the file cannot be made or its file system has no locks.
    init(path: String) throws(CacheError) {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw CacheError(path: path, code: errno) }
        // Beyond the places of keys: whether it works at all.
        guard Self.set(descriptor, place: .max - 1, F_RDLCK) else {
            let code = errno
            close(descriptor)
            throw .system(path: path, code: code)
        }
    }

    deinit { close(descriptor) }

    /// A lock that others may share; nil while somebody has the chunk to himself.
    func shared(_ key: ChunkKey) -> KeyLock? {
        take(key, F_RDLCK) { $0 >= 0 ? $0 + 1 : nil }
    }

    /// A lock that nobody shares; nil while anybody has one.
    func exclusive(_ key: ChunkKey) -> KeyLock? {
        take(key, F_WRLCK) { $0 == 0 ? -1 : nil }
    }

    private func take(_ key: ChunkKey, _ kind: Int32, count: (Int) -> Int?) -> KeyLock? {
        let place = Self.place(of: key)
        let isTaken = held.withLock { held -> Bool in
            let before = held[place] ?? 0
            guard let after = count(before) else { return false }
            guard before > 0 || Self.set(descriptor, place: place, kind) else { return false }
            held[place] = after
            return true
        }
        return isTaken ? KeyLock(locks: self, place: place) : nil
    }

    fileprivate func release(_ place: Int64) {
        held.withLock { held in
            guard let count = held[place] else { return }
            if count > 1 {
                held[place] = count - 1
            } else {
                held[place] = nil
                _ = Self.set(descriptor, place: place, F_UNLCK)
            }
        }
    }

    private static func place(of key: ChunkKey) -> Int64 {
        Int64(key.digest.bytes.little(0, UInt64.self) >> 2)
    }

    private static func set(_ descriptor: Int32, place: Int64, _ kind: Int32) -> Bool {
        var lock = Glibc.flock()
        lock.l_type = Int16(kind)
        lock.l_whence = Int16(SEEK_SET)
        lock.l_start = off_t(place)
        lock.l_len = 1
        return fcntl(descriptor, setLock, &lock) == 0
    }
}

/// A lock, held until it is given up or this goes.
final class KeyLock: Sendable {
    private let locks: KeyLocks
    private let place: Int64
    private let isHeld = Atomic(true)

    fileprivate init(locks: KeyLocks, place: Int64) {
        self.locks = locks
        self.place = place
    }

    deinit { release() }

    func release() {
        if isHeld.exchange(false, ordering: .acquiringAndReleasing) { locks.release(place) }
    }
}
