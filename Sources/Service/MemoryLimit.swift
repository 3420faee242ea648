// SPDX-License-Identifier: Apache-2.0

import Foundation

/// How much memory the process may use: what control groups allow it, as in a container.
enum MemoryLimit {
    /// The tightest limit of the control groups in bytes; nil where none is set.
    static func current() -> Int? {
        let groups = (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8)) ?? ""
        return tightest(groups: groups) { try? String(contentsOfFile: $0, encoding: .utf8) }
    }

    /// The tightest limit along the process's control groups, from the text of `/proc/self/cgroup` and a way to read files
    /// (version 2: `memory.max`; version 1: `memory.limit_in_bytes`).
    static func tightest(groups: String, read: (String) -> String?) -> Int? {
        var limits: [Int] = []
        for line in groups.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3, fields[1].isEmpty || fields[1].split(separator: ",").contains("memory") else {
                continue
            }
            let isVersionTwo = fields[1].isEmpty
            var folder = isVersionTwo ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
            let parts: [Substring] = [""] + fields[2].split(separator: "/")
            for part in parts where part != ".." {
                if !part.isEmpty { folder += "/\(part)" }
                let text = read(folder + (isVersionTwo ? "/memory.max" : "/memory.limit_in_bytes"))
                if let limit = text.flatMap({ Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }) {
                    limits.append(limit)
                }
            }
        }
        // Version 1 writes no limit as the largest number of whole pages.
        return limits.min().flatMap { $0 < Int.max >> 1 ? $0 : nil }
    }
}
