// SPDX-License-Identifier: Apache-2.0

/// What a finished job cost.
public struct JobUsage: Sendable, Hashable {
    /// Tokens of the whole prompt, the template's included.
    public var promptTokens: Int
    /// How many of those came from a cache.
    public var cachedTokens: Int
    /// Seconds that these had cost when they were computed.
    public var secondsSaved: Double
    /// Why the first part of the prompt that might have been cached was not found, as a word; nil where all was found or nothing was
    /// looked for.
    public var cacheMiss: String?
    /// Tokens generated.
    public var outputTokens: Int
    /// How many of those an attempt before had generated.
    public var resumedTokens: Int
    /// The job's share of the time spent on prompts, in seconds.
    public var prefillSeconds: Double
    /// The job's share of the time spent on output, in seconds.
    public var decodeSeconds: Double

    /// Makes a usage.
    public init(
        promptTokens: Int, cachedTokens: Int = 0, secondsSaved: Double = 0, cacheMiss: String? = nil,
        outputTokens: Int, resumedTokens: Int = 0, prefillSeconds: Double, decodeSeconds: Double
    ) {
        self.promptTokens = promptTokens
        self.cachedTokens = cachedTokens
        self.secondsSaved = secondsSaved
        self.cacheMiss = cacheMiss
        self.outputTokens = outputTokens
        self.resumedTokens = resumedTokens
        self.prefillSeconds = prefillSeconds
        self.decodeSeconds = decodeSeconds
    }
}

/// The result of an attempt that succeeded.
public struct JobResult: Sendable, Hashable {
    /// The attempt.
    public var lease: Lease
    /// The text generated. PostgreSQL has no NUL in text: U+FFFD is stored in its place.
    public var output: String
    /// Why the output ended: `stop` or `length`.
    public var finishReason: String
    /// What it cost.
    public var usage: JobUsage
    /// JSON text of all outputs with their log-probabilities, where more than ``output`` was asked for; nil for none.
    public var choices: String?

    /// Makes a result. `choices` must be valid JSON.
    public init(lease: Lease, output: String, finishReason: String, usage: JobUsage, choices: String? = nil) {
        self.choices = choices
        self.lease = lease
        self.output = output
        self.finishReason = finishReason
        self.usage = usage
    }
}

/// An error of one job, as its submitter sees it.
public struct JobError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What went wrong, for programs: a short word such as `context_overflow`.
    public var code: String
    /// The same for people: a plain sentence without text of the document.
    public var message: String
    /// JSON text with figures, such as the limit and the length found; nil for none.
    public var detail: String?

    /// Makes an error. `detail` must be valid JSON.
    public init(code: String, message: String, detail: String? = nil) {
        self.code = code
        self.message = message
        self.detail = detail
    }

    /// Code and message.
    public var description: String { "\(code): \(message)" }
}

/// The error of an attempt that did not succeed.
public struct JobFailure: Sendable, Hashable {
    /// The attempt.
    public var lease: Lease
    /// What went wrong.
    public var error: JobError
    /// Whether another attempt may succeed. The job is then tried again until its attempts are used up.
    public var isRetryable: Bool

    /// Makes a failure.
    public init(lease: Lease, error: JobError, isRetryable: Bool) {
        self.lease = lease
        self.error = error
        self.isRetryable = isRetryable
    }
}

/// How far a running job has come.
public struct JobProgress: Sendable, Hashable {
    /// The attempt.
    public var lease: Lease
    /// Prompt tokens done.
    public var promptTokens: Int
    /// Tokens generated.
    public var outputTokens: Int

    /// Makes a progress.
    public init(lease: Lease, promptTokens: Int, outputTokens: Int) {
        self.lease = lease
        self.promptTokens = promptTokens
        self.outputTokens = outputTokens
    }
}

/// What the database made of an attempt's end.
public struct Settlement: Sendable, Hashable {
    /// The job.
    public let jobID: Int64
    /// The state that the attempt left the job in; nil when the write was refused, for the lease was lost.
    public let state: JobState?

    /// Makes a settlement.
    public init(jobID: Int64, state: JobState?) {
        self.jobID = jobID
        self.state = state
    }

    /// Whether the write was refused: another worker has the job, or it has ended without this one.
    public var isFenced: Bool { state == nil }
}

/// A running job that its worker must stop.
public struct HeartbeatSignal: Sendable, Hashable {
    /// Why.
    public enum Reason: String, Sendable {
        /// The lease is lost. Drop the job and write nothing.
        case lost
        /// Somebody cancelled it. Hand it back with ``JobWorker/release(_:)``.
        case cancel
        /// The attempt is past its deadline. Report it with ``JobWorker/fail(_:)``.
        case timeout
    }

    /// The job.
    public let jobID: Int64
    /// Why it must be stopped.
    public let reason: Reason

    /// Makes a signal.
    public init(jobID: Int64, reason: Reason) {
        self.jobID = jobID
        self.reason = reason
    }
}
