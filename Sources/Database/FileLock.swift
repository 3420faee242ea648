// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc

/// An exclusive lock on a file, held until `release` or the end of the process.
final class FileLock: Sendable {
    private let descriptor: Int32

    /// Waits for the lock for up to `patience`. Throws when the file cannot be made or the lock is not had in time.
    init(path: String, patience: Duration) async throws {
        let descriptor = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw DatabaseError("The lock file \(path) cannot be opened: \(String(cString: strerror(errno))).")
        }
        self.descriptor = descriptor
        let clock = ContinuousClock()
        let end = clock.now + patience
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard clock.now < end else {
                throw DatabaseError(
                    "Another process has been starting or stopping this database for long (lock \(path)).")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    deinit { close(descriptor) }
}
