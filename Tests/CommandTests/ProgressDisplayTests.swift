// SPDX-License-Identifier: Apache-2.0

import Service
import Testing

@testable import deltakv

@Suite struct ProgressDisplayTests {
    private let display = ProgressDisplay()

    @Test func nothingCountedYet() {
        let line = display.line(DaemonStatus(), seconds: 0)
        #expect(line == "[------------------------] 0 of 0 jobs, 0 running, 0 tokens/s")
    }

    @Test func halfWay() {
        var status = DaemonStatus()
        (status.completed, status.failed, status.active, status.unfinished) = (5, 1, 4, 6)
        (status.promptTokens, status.outputTokens) = (900, 100)
        let line = display.line(status, seconds: 10)
        #expect(
            line
                == "[############------------] 6 of 12 jobs, 1 failed, 4 running, 100 tokens/s, about 10 s left")
    }

    @Test func theCountOfTheQueueMayLagBehind() {
        var status = DaemonStatus()
        (status.completed, status.active, status.unfinished) = (2, 3, 0)
        #expect(display.line(status, seconds: 1).contains("2 of 5 jobs"))
    }
}
