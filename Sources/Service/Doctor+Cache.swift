// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Foundation

extension Doctor {
    /// The directory of persisted caches, without making it.
    var cache: Finding {
        let location = settings.cache, path = location.directory
        do {
            let isEncrypted = try CacheSettings.secret() != nil
            guard location.exists else {
                return Finding("cache", .good, "none yet in \(path)\(isEncrypted ? ", to be encrypted" : "")")
            }
            let store = try location.open(), entries = store.entries
            let text = """
                \(entries.count) chunks, \(formatByteCount(store.bytes)) of \(formatByteCount(location.budget)), \
                \(isEncrypted ? "encrypted" : "plain"), in \(path)
                """
            guard access(path, W_OK) == 0 else {
                return Finding(
                    "cache", .bad, "\(text), which cannot be written", advice: "correct the rights of \(path)")
            }
            let rights = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            guard (rights ?? 0o700) & 0o077 == 0 else {
                return Finding(
                    "cache", .warning, "\(text), which others may enter",
                    advice: "run 'chmod 700 \(path)': checksums tell damage, not what somebody puts there")
            }
            if let free = store.freeBytes, free < location.freeFloor {
                return Finding(
                    "cache", .warning, "\(text); \(formatByteCount(free)) free on the disk, below cache.free_floor",
                    advice: "free some, or lower cache.free_floor: nothing new is kept meanwhile")
            }
            guard entries.allSatisfy({ $0.isEncrypted == isEncrypted }) else {
                return Finding(
                    "cache", .warning, "\(text), beside chunks that are \(isEncrypted ? "plain" : "encrypted")",
                    advice: "those are not found: they go with time, or at once by 'rm \(path)/*.chunk'")
            }
            return Finding("cache", .good, text)
        } catch {
            return Finding("cache", .bad, "\(error)", advice: "correct cache.directory or DELTAKV_CACHE_KEY")
        }
    }
}
