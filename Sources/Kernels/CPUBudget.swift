// SPDX-License-Identifier: Apache-2.0
import CKernels
import Foundation

/// How much CPU the process may use: the cores of its affinity mask, limited by the quota of its control groups.
public struct CPUBudget: Sendable, Equatable {
    /// Cores that the affinity mask allows.
    public let cores: Int
    /// CPU seconds per second that the control groups allow, if they limit them.
    public let quota: Double?

    /// A budget of given parts.
    public init(cores: Int, quota: Double?) {
        self.cores = cores
        self.quota = quota
    }

    /// Threads worth starting: whole cores within the quota, at least one. More would be throttled while they spin.
    public var threads: Int {
        let allowed = quota.map { max(1, Int($0.rounded(.down))) } ?? cores
        return max(1, min(cores, allowed))
    }

    /// The budget of this process now.
    public static func current() -> CPUBudget {
        let groups = (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8)) ?? ""
        return CPUBudget(
            cores: dkv_affinity_cores(),
            quota: quota(groups: groups) { try? String(contentsOfFile: $0, encoding: .utf8) })
    }

    /// The tightest quota along the process's control groups, from the text of `/proc/self/cgroup` and a way to read files
    /// (version 2: `cpu.max`; version 1: `cpu.cfs_quota_us`).
    static func quota(groups: String, read: (String) -> String?) -> Double? {
        var tightest: Double?
        for line in groups.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let controllers = fields[1].split(separator: ",")
            guard controllers.isEmpty || controllers.contains("cpu") else { continue }
            let root = controllers.isEmpty ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu"
            for folder in ancestors(of: String(fields[2]), under: root) {
                let found = controllers.isEmpty ? versionTwo(folder, read) : versionOne(folder, read)
                if let found { tightest = min(tightest ?? found, found) }
            }
        }
        return tightest
    }

    private static func ancestors(of path: String, under root: String) -> [String] {
        var folders = [root]
        for part in path.split(separator: "/") where part != ".." {
            folders.append(folders[folders.count - 1] + "/" + part)
        }
        return folders
    }

    private static func versionTwo(_ folder: String, _ read: (String) -> String?) -> Double? {
        let numbers = read(folder + "/cpu.max")?.split(whereSeparator: \.isWhitespace).map { Double($0) } ?? []
        guard numbers.count == 2, let quota = numbers[0], let period = numbers[1], quota > 0, period > 0 else {
            return nil
        }
        return quota / period
    }

    private static func versionOne(_ folder: String, _ read: (String) -> String?) -> Double? {
        func number(_ file: String) -> Double? {
            read(folder + "/" + file).flatMap { Double($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
        }
        guard let quota = number("cpu.cfs_quota_us"), let period = number("cpu.cfs_period_us") else { return nil }
        return quota > 0 && period > 0 ? quota / period : nil
    }
}
