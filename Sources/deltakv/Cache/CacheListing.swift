// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Foundation
import Service

/// How chunks are listed.
enum CacheListing {
    /// Chunks in the order of their chains, each chain's after one another.
    static func inOrder(_ entries: [CacheEntry]) -> [CacheEntry] {
        var children = Dictionary(grouping: entries, by: \.parent)
        for key in children.keys { children[key]?.sort { ($0.created, "\($0.key)") > ($1.created, "\($1.key)") } }
        let known = Set(entries.map(\.key)), heads = children.filter { !known.contains($0.key) }.flatMap(\.value)
        var stack = heads.sorted { ($0.created, "\($0.key)") > ($1.created, "\($1.key)") }, order: [CacheEntry] = []
        while let next = stack.popLast() {
            order.append(next)
            stack.append(contentsOf: children[next.key] ?? [])
        }
        return order
    }

    /// A chunk in a listing. Token ids are not shown: they are somebody's text.
    struct Line: Encodable {
        let key: String
        let parent: String
        let fingerprint: String
        let index: Int
        let tokens: Int
        let bytes: Int
        let prefillSeconds: Double
        let created: String
        let lastUsed: String
        let isEncrypted: Bool
        var sections: [SectionSummary]?

        enum CodingKeys: String, CodingKey {
            case key, parent, fingerprint, index, tokens, bytes, created, sections
            case prefillSeconds = "prefill_seconds"
            case lastUsed = "last_used"
            case isEncrypted = "encrypted"
        }

        init(_ entry: CacheEntry) {
            key = "\(entry.key)"
            parent = "\(entry.parent)"
            fingerprint = "\(entry.fingerprint)"
            index = entry.index
            tokens = entry.tokens
            bytes = entry.bytes
            prefillSeconds = entry.prefillSeconds
            created = entry.created.formatted(.iso8601)
            lastUsed = entry.lastUsed.formatted(.iso8601)
            isEncrypted = entry.isEncrypted
        }

        private var seconds: String { String(format: "%.2f", prefillSeconds) }

        var text: String {
            "\(key.prefix(16))  chunk \(index), \(tokens) tokens, \(formatByteCount(bytes)), \(seconds) s of prefill, "
                + "last used \(lastUsed)\(isEncrypted ? ", encrypted" : "")"
        }

        var details: String {
            let first = """
                key           \(key)
                parent        \(parent)
                fingerprint   \(fingerprint)
                place         chunk \(index) of its chain, \(tokens) tokens
                file          \(bytes) bytes, \(isEncrypted ? "encrypted" : "plain")
                prefill       \(seconds) s
                made          \(created)
                last used     \(lastUsed)
                """
            let rest = (sections ?? []).map {
                "section \($0.id)  \($0.bytes) bytes, \($0.stored) in the file (\($0.encoding))"
            }
            return ([first] + rest).joined(separator: "\n")
        }
    }
}
