// SPDX-License-Identifier: Apache-2.0

import Foundation

/// An exclusive lock that processes of one machine agree on by a file. The kernel gives it up when its holder ends, however
/// that happens; the file itself stays, since removing it would let two hold it.
final class FileLock {
    private let descriptor: Int32

    /// Takes the lock if it is free; nil if somebody holds it.
    ///
    /// - Throws: ``SettingsError`` where the file cannot be made.
    static func tryAcquire(_ path: String) throws(SettingsError) -> FileLock? {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw SettingsError(description: "the lock \(path) cannot be made: \(String(cString: strerror(errno)))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            return nil
        }
        return FileLock(descriptor: descriptor)
    }

    private init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }
}
