// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// A small run of `ops/soak queue`: processes killed and stopped, the server crashing, every job completed once.
@Suite(.serialized) struct SoakTests {
    @Test func everyJobCompletesOnceWhateverDies() async throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let outcome = try await Program(environment: ["DELTAKV_BIN": Program.folder.path]).runScript(
            root.appendingPathComponent("ops/soak"), "queue", "--jobs", "1500", "--workers", "5", "--seconds", "7",
            "--restarts", "1", "--lease", "2")
        #expect(outcome.status == 0, "\(outcome.output)\n\(outcome.errors)")
        #expect(outcome.output.contains("each completed exactly once"))
    }
}
