// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What `postmaster.pid` says about a cluster, checked against the processes that exist.
enum Postmaster: Equatable {
    case absent
    /// The file was left behind: its process is gone, or its number now belongs to another program.
    case stale
    case alive(Int32)

    init(data: String) {
        guard let text = try? String(contentsOfFile: "\(data)/postmaster.pid", encoding: .utf8) else {
            self = .absent
            return
        }
        guard let process = text.split(whereSeparator: \.isNewline).first.flatMap({ Int32($0) }), process > 0 else {
            self = .stale
            return
        }
        // The server's working directory is its data directory; nothing else that took over the number has it.
        let workingDirectory = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/cwd")
        self = workingDirectory == data ? .alive(process) : .stale
    }
}
