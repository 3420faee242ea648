// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A bar on a terminal for a known number of steps; elsewhere a line for every step.
struct ProgressBar {
    let steps: Int
    private(set) var done = -1
    private let start = ContinuousClock.now
    private let isTerminal = isatty(STDERR_FILENO) == 1

    /// A bar before its first step.
    init(steps: Int) { self.steps = steps }

    /// Says what comes next; what was said before is done.
    mutating func next(_ what: String) {
        done += 1
        if isTerminal {
            write("\r\u{1B}[K" + line(what, seconds: (ContinuousClock.now - start) / .seconds(1)))
        } else {
            write("\(done + 1) of \(steps): \(what)\n")
        }
    }

    /// Removes the bar.
    func finish() {
        if isTerminal { write("\r\u{1B}[K") }
    }

    func line(_ what: String, seconds: Double) -> String {
        let width = 24, filled = steps > 0 ? min(width, width * done / steps) : width
        var line = "[" + String(repeating: "#", count: filled) + String(repeating: "-", count: width - filled) + "]"
        line += " \(done) of \(steps): \(what)"
        guard done > 0 else { return line }
        let left = seconds / Double(done) * Double(steps - done)
        return line
            + (left < 90 ? ", about \(Int(left.rounded(.up))) s left" : ", about \(Int(left / 60) + 1) min left")
    }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
