// SPDX-License-Identifier: Apache-2.0

import Inference

/// What an engine does now and has done since it started, for dashboards.
public struct EngineLoad: Sendable, Equatable {
    /// Sequences in the batch.
    public var running = 0
    /// Bytes of keys and values that they hold.
    public var kvUsedBytes = 0
    /// The most memory that keys and values took: also what else is in slabs of pages, and prompts' rows before they are coded.
    public var kvPeakMemory = 0
    /// Bytes that there are for keys and values.
    public var kvBytes = 0
    /// Prompt tokens computed, and output tokens computed again after an interruption; what came from a cache is not among them.
    public var promptTokens = 0
    /// Tokens generated.
    public var outputTokens = 0
    /// The share of the time that went into those, by rows, in seconds.
    public var prefillSeconds = 0.0
    /// The share of the time that went into output, by rows, in seconds.
    public var decodeSeconds = 0.0
    /// Where the time of steps went; what else is done between them is not among it.
    public var times = StepTimes()
    /// How often a sequence made room for others before its end.
    public var suspensions = 0
    /// Steps made.
    public var steps = 0
    /// The sum over all steps of the sequences in each.
    public var sequenceSteps = 0
    /// When the step under way began; nil between steps and when there is no work.
    public var stepBegan: ContinuousClock.Instant?

    /// An engine that has done nothing.
    public init() {}

    /// Counts a sequence's part in a step.
    mutating func count(rows: Int, areGiven: Bool, choosesToken: Bool, seconds: Double) {
        if areGiven {
            promptTokens += rows
            prefillSeconds += seconds
        } else {
            decodeSeconds += seconds
        }
        if choosesToken { outputTokens += 1 }
        sequenceSteps += 1
    }
}
