// SPDX-License-Identifier: Apache-2.0

/// What a worker did in some seconds: a row of `deltakv.worker_samples`.
public struct WorkerLoad: Sendable, Equatable {
    /// How long a time the sums are about.
    public var seconds: Double
    /// Sequences in the batch at the end of it.
    public var running: Int
    /// Bytes of keys and values held at the end of it.
    public var kvUsedBytes: Int
    /// Bytes that there are for keys and values.
    public var kvBytes: Int
    /// Bytes of memory that the process uses.
    public var residentBytes: Int
    /// Prompt tokens computed.
    public var promptTokens: Int
    /// Tokens generated.
    public var outputTokens: Int
    /// The engine's seconds that went into prompts.
    public var prefillSeconds: Double
    /// The engine's seconds that went into output.
    public var decodeSeconds: Double
    /// Steps made.
    public var steps: Int
    /// The sum over the steps of the sequences in each.
    public var sequenceSteps: Int

    /// A load of its parts.
    public init(
        seconds: Double, running: Int, kvUsedBytes: Int, kvBytes: Int, residentBytes: Int, promptTokens: Int,
        outputTokens: Int, prefillSeconds: Double, decodeSeconds: Double, steps: Int, sequenceSteps: Int
    ) {
        self.seconds = seconds
        self.running = running
        self.kvUsedBytes = kvUsedBytes
        self.kvBytes = kvBytes
        self.residentBytes = residentBytes
        self.promptTokens = promptTokens
        self.outputTokens = outputTokens
        self.prefillSeconds = prefillSeconds
        self.decodeSeconds = decodeSeconds
        self.steps = steps
        self.sequenceSteps = sequenceSteps
    }
}
