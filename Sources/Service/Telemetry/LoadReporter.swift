// SPDX-License-Identifier: Apache-2.0

import Engine
import JobQueue
import Monitoring

/// Turns what an engine has done so far into what it did since the last look.
struct LoadReporter {
    private var seen: EngineLoad
    private var seenAt: ContinuousClock.Instant

    init(_ load: EngineLoad, at now: ContinuousClock.Instant = .now) {
        seen = load
        seenAt = now
    }

    /// What was done since the last call.
    mutating func report(
        _ load: EngineLoad, residentBytes: Int, at now: ContinuousClock.Instant = .now
    ) -> WorkerLoad {
        defer { (seen, seenAt) = (load, now) }
        return WorkerLoad(
            seconds: max((now - seenAt) / .seconds(1), 1e-3), running: load.running, kvUsedBytes: load.kvUsedBytes,
            kvBytes: load.kvBytes, residentBytes: residentBytes, promptTokens: load.promptTokens - seen.promptTokens,
            outputTokens: load.outputTokens - seen.outputTokens,
            prefillSeconds: max(0, load.prefillSeconds - seen.prefillSeconds),
            decodeSeconds: max(0, load.decodeSeconds - seen.decodeSeconds), steps: load.steps - seen.steps,
            sequenceSteps: load.sequenceSteps - seen.sequenceSteps)
    }
}
