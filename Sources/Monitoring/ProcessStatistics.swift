// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What the kernel says of this process.
public struct ProcessStatistics: Sendable {
    /// Bytes of memory in use.
    public let residentBytes: Int
    /// Processor time used, in seconds.
    public let cpuSeconds: Double
    /// Open file descriptors.
    public let openFiles: Int

    /// Reads `/proc/self`; what cannot be read is 0.
    public static func current() -> ProcessStatistics {
        let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?
            .split(separator: " ").dropFirst().first.flatMap { Int($0) }
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let times = [usage.ru_utime, usage.ru_stime].map { Double($0.tv_sec) + Double($0.tv_usec) / 1e6 }
        let files = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
        return ProcessStatistics(
            residentBytes: (pages ?? 0) * sysconf(Int32(_SC_PAGESIZE)), cpuSeconds: times[0] + times[1],
            openFiles: files ?? 0)
    }
}
