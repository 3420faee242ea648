// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles

/// Why a cache cannot be used or written to. The bytes in the directory are sound all the same.
public enum CacheError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The disk, the quota or the process's limit on file sizes leaves no room for a file.
    case diskFull(path: String)
    /// The system refused something else; its error number.
    case system(path: String, code: Int32)
    /// A setting or a name that cannot be used.
    case invalid(String)

    /// What was wrong, where, and what to do next.
    public var description: String {
        switch self {
        case .diskFull(let path):
            "\(path): there is no room left on the disk: free some, or lower cache.budget or raise cache.free_floor"
        case .system(let path, let code): "\(path): \(String(cString: strerror(code)))"
        case .invalid(let text): text
        }
    }

    init(_ failure: DurableFile.Failure) { self.init(path: failure.path, code: failure.code) }

    init(path: String, code: Int32) {
        self = [ENOSPC, EDQUOT, EFBIG].contains(code) ? .diskFull(path: path) : .system(path: path, code: code)
    }
}

/// Why a chunk was not found or not used.
public enum CacheMiss: String, Error, Sendable, CaseIterable, Codable {
    /// It is not there, or being written or removed at this moment.
    case absent
    /// The tokens are there, but for other weights, another tokenizer, compressor or setting.
    case fingerprint
    /// The file holds a chunk of another tenant.
    case salt
    /// It is older than it may be.
    case expired
    /// The file is shorter or longer than it says, as after a write that was broken off.
    case partial
    /// Bytes differ from what was written, or the key of encryption does.
    case checksum
    /// It is no chunk of this version, contradicts itself, or holds another chunk than its name says.
    case format
    /// The system could not open or read it.
    case unreadable
}
