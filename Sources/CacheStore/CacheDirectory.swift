// SPDX-License-Identifier: Apache-2.0
import Foundation

/// The names in a cache's directory.
struct CacheDirectory: Sendable {
    static let chunkSuffix = ".chunk", temporarySuffix = ".tmp"

    let path: String
    /// Tells this directory from others, on whatever machine it is mounted.
    let id: UUID

    /// Opens a directory, or makes it, for this user alone.
    ///
    /// - Throws: ``CacheError``.
    init(path: String) throws(CacheError) {
        guard path.hasPrefix("/") else { throw .invalid("the cache directory '\(path)' must be an absolute path") }
        self.path = path
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw .invalid("the cache directory \(path) cannot be made: \(error.localizedDescription)")
        }
        id = try Self.identity(in: path)
    }

    var locks: String { path + "/locks" }
    func chunk(_ key: ChunkKey) -> String { "\(path)/\(key)\(Self.chunkSuffix)" }
    func temporary(_ key: ChunkKey) -> String { "\(path)/\(key)\(Self.temporarySuffix)" }

    /// Whose file a name is; nil for files that are none of the store's.
    enum Name {
        case chunk(ChunkKey)
        case temporary(ChunkKey)

        init?(_ name: String) {
            if name.hasSuffix(CacheDirectory.chunkSuffix), let key = ChunkKey(name.dropLast(6)) {
                self = .chunk(key)
            } else if name.hasSuffix(CacheDirectory.temporarySuffix), let key = ChunkKey(name.dropLast(4)) {
                self = .temporary(key)
            } else {
                return nil
            }
        }
    }

    /// The store's files at this moment.
    ///
    /// - Throws: ``CacheError`` where the directory cannot be read.
    func names() throws(CacheError) -> [Name] {
        guard let stream = opendir(path) else { throw CacheError(path: path, code: errno) }
        defer { closedir(stream) }
        var names: [Name] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let name = Name(name) { names.append(name) }
        }
        return names
    }

    func exists(_ key: ChunkKey) -> Bool { access(chunk(key), F_OK) == 0 }

    /// Bytes that this user may still write on the file system; nil where it does not say.
    func freeBytes() -> Int? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        return Int(
            clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
    }

    private static func identity(in path: String) throws(CacheError) -> UUID {
        let file = path + "/store"
        for attempt in 0..<100 {
            let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            if descriptor >= 0 {
                let id = UUID(), line = Array("\(id)\n".utf8)
                let isWritten = write(descriptor, line, line.count) == line.count && fsync(descriptor) == 0
                let code = errno
                close(descriptor)
                if isWritten { return id }
                unlink(file)
                throw CacheError(path: file, code: code)
            }
            guard errno == EEXIST else { throw CacheError(path: file, code: errno) }
            let text = FileManager.default.contents(atPath: file).map { String(decoding: $0, as: UTF8.self) }
            if let text, text.hasSuffix("\n"), let id = UUID(uuidString: String(text.dropLast())) { return id }
            // Somebody is writing it, or was killed meanwhile.
            if attempt == 50 { unlink(file) }
            usleep(2000)
        }
        throw .invalid("\(file) cannot be read: check the rights of the cache directory")
    }
}
