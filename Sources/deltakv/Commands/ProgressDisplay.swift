// SPDX-License-Identifier: Apache-2.0

import Foundation
import Service

/// A line on a terminal that shows how far a drain is.
struct ProgressDisplay {
    private let start = ContinuousClock.now

    /// Whether standard error is a terminal.
    static var isPossible: Bool { isatty(STDERR_FILENO) == 1 }

    /// Draws the line anew.
    func show(_ status: DaemonStatus) {
        FileHandle.standardError.write(Data("\r\u{1B}[K\(line(status, seconds: elapsed))".utf8))
    }

    /// Leaves the last line standing.
    func finish(_ status: DaemonStatus) {
        show(status)
        FileHandle.standardError.write(Data("\n".utf8))
    }

    private var elapsed: Double { (ContinuousClock.now - start) / .seconds(1) }

    func line(_ status: DaemonStatus, seconds: Double) -> String {
        let done = status.completed + status.failed
        let total = done + max(status.unfinished ?? 0, status.active)
        let width = 24
        let filled = total > 0 ? width * done / total : 0
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: width - filled)
        let failures = status.failed > 0 ? ", \(status.failed) failed" : ""
        let rate = seconds > 0 ? Int(Double(status.promptTokens + status.outputTokens) / seconds) : 0
        var line = "[\(bar)] \(done) of \(total) jobs\(failures), \(status.active) running, \(rate) tokens/s"
        if done > 0, done < total {
            line += ", about \(timeText(seconds / Double(done) * Double(total - done))) left"
        }
        return line
    }

    private func timeText(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded(.up))
        return whole < 90 ? "\(whole) s" : "\((whole + 59) / 60) min"
    }
}
