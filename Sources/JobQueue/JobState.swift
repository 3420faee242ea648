// SPDX-License-Identifier: Apache-2.0

/// Where a job stands, as `deltakv.job_state` has it.
public enum JobState: String, Sendable, CaseIterable {
    /// Waits for its time to start.
    case scheduled
    /// May start.
    case available
    /// A worker holds it.
    case running
    /// Waits to be tried again after an error.
    case retryable
    /// Ended with a result.
    case completed
    /// Ended with an error.
    case failed
    /// Ended because somebody asked for it.
    case cancelled

    /// Whether a job in this state has ended.
    public var isFinal: Bool {
        switch self {
        case .scheduled, .available, .running, .retryable: false
        case .completed, .failed, .cancelled: true
        }
    }
}
