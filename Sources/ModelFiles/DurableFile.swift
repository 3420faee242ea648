// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Files that are there whole or not at all, also after a power cut.
public enum DurableFile {
    /// Why a file could not be put in place.
    public struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// The file or folder that the system refused.
        public let path: String
        /// The system's error number.
        public let code: Int32

        /// What the system said, about which path.
        public var description: String { "\(path): \(String(cString: strerror(code)))" }
    }

    /// Writes bytes to a temporary name beside `path`, synchronises, renames, and synchronises the folder.
    ///
    /// - Parameters:
    ///   - temporary: The temporary name, which nobody else may use meanwhile; nil for one that has the process's number in it.
    ///   - permissions: Of a file that is new, before the process's mask.
    /// - Throws: ``Failure``; no temporary file stays behind, and what lay at `path` before lies there still unless only the
    ///   last step failed.
    public static func write(
        _ bytes: UnsafeRawBufferPointer, to path: String, by temporary: String? = nil, permissions: mode_t = 0o644
    ) throws(Failure) {
        let temporary = temporary ?? path + ".\(ProcessInfo.processInfo.processIdentifier).tmp"
        defer { unlink(temporary) }
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, permissions)
        guard descriptor >= 0 else { throw Failure(path: temporary, code: errno) }
        var at = 0
        while at < bytes.count {
            let written = Glibc.write(descriptor, bytes.baseAddress.map { $0 + at }, bytes.count - at)
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw failed(closing: descriptor, temporary) }
            at += written
        }
        guard fsync(descriptor) == 0 else { throw failed(closing: descriptor, temporary) }
        guard close(descriptor) == 0 else { throw Failure(path: temporary, code: errno) }
        try rename(temporary, to: path)
    }

    /// Moves a file, whose contents are synchronised, over `path` and synchronises the folder.
    ///
    /// - Throws: ``Failure``.
    public static func rename(_ source: String, to path: String) throws(Failure) {
        guard Glibc.rename(source, path) == 0 else { throw Failure(path: path, code: errno) }
        let parent = (path as NSString).deletingLastPathComponent
        try synchronize(folder: parent.isEmpty ? "." : parent)
    }

    /// Makes the names in a folder durable.
    ///
    /// - Throws: ``Failure``. File systems that cannot synchronise folders are taken at their word.
    public static func synchronize(folder: String) throws(Failure) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(path: folder, code: errno) }
        guard fsync(descriptor) == 0 || errno == EINVAL else { throw failed(closing: descriptor, folder) }
        close(descriptor)
    }

    private static func failed(closing descriptor: Int32, _ path: String) -> Failure {
        let code = errno
        close(descriptor)
        return Failure(path: path, code: code)
    }
}
