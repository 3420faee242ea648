// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Foundation

/// Where persisted caches lie and how much of them is kept.
public struct CacheLocation: Sendable, Equatable {
    /// An absolute path; several daemons may share it.
    public var directory: String
    /// Bytes of files at most.
    public var budget: Int
    /// How long a chunk is kept after it was made; nil for no limit.
    public var life: Duration?
    /// Bytes that stay free on the file system.
    public var freeFloor: Int

    /// Whether there is a cache yet, rather than no directory or some other.
    public var exists: Bool { FileManager.default.fileExists(atPath: directory + "/store") }

    /// Opens the cache, and makes it if need be. The key of encryption comes from the environment (`DELTAKV_CACHE_KEY`), never from a
    /// file of settings.
    ///
    /// - Throws: `CacheError`.
    public func open(
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(CacheError) -> CacheStore {
        let settings = CacheSettings(
            budget: budget, life: life, freeFloor: freeFloor, secret: try CacheSettings.secret(in: environment))
        return try CacheStore(directory: directory, settings: settings)
    }

    static func defaultDirectory(environment: [String: String]) -> String {
        let cache = environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
        return (cache ?? NSHomeDirectory() + "/.cache") + "/deltakv/chunks"
    }
}
