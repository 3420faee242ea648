// SPDX-License-Identifier: Apache-2.0

/// What a daemon has done since it started, for progress displays.
public struct DaemonStatus: Sendable, Equatable {
    /// Jobs whose results were written.
    public var completed = 0
    /// Jobs that failed for good or for now.
    public var failed = 0
    /// Jobs held right now.
    public var active = 0
    /// Prompt tokens of finished jobs and of the running ones so far.
    public var promptTokens = 0
    /// Output tokens of finished jobs and of the running ones so far.
    public var outputTokens = 0
    /// Jobs in the queue that are not finished, here or elsewhere, as last counted.
    public var unfinished: Int?

    /// Nothing done yet.
    public init() {}
}
