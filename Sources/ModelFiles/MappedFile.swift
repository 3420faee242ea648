// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A whole file mapped read-only into memory; unmapped when the last reference goes.
///
/// The mapping is private and read-only, so it is shared freely between threads. Should another process shorten the
/// file while it is mapped, reading beyond the new end faults: model files are replaced by renaming, not rewritten.
final class MappedFile: @unchecked Sendable {
    let path: String
    let bytes: UnsafeRawBufferPointer

    init(path: String) throws(GGUFError) {
        self.path = path
        // Non-blocking, so that opening a named pipe returns instead of waiting for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Self.systemError(path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.systemError(path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw GGUFError(path: path, reason: .unreadable("it is not a regular file"))
        }
        let size = Int(status.st_size)
        guard size > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
            throw Self.systemError(path)
        }
        bytes = UnsafeRawBufferPointer(start: base, count: size)
    }

    deinit {
        if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
    }

    private static func systemError(_ path: String) -> GGUFError {
        GGUFError(path: path, reason: .unreadable(String(cString: strerror(errno))))
    }
}
