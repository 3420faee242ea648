// SPDX-License-Identifier: Apache-2.0

/// The right to run one attempt of a job.
///
/// It ends when the attempt is settled, and also when the worker does not renew it in time. Whoever holds it then is
/// refused by the database, for the job's next claim gets a larger token (M. Kleppmann, "How to do distributed locking",
/// 2016, calls it a fencing token).
public struct Lease: Sendable, Hashable {
    /// The job.
    public let jobID: Int64
    /// The fencing token of the attempt.
    public let token: Int64

    /// A lease as a claim gave it.
    public init(jobID: Int64, token: Int64) {
        self.jobID = jobID
        self.token = token
    }
}
