// SPDX-License-Identifier: Apache-2.0

import JobQueue
import Synchronization
import Tokenization

/// The jobs that this daemon holds right now.
final class ActiveJobs: Sendable {
    /// Why a job was taken off the engine before its end.
    enum Interruption: Sendable {
        /// Someone asked for the job to be cancelled.
        case cancelled
        /// The lease went to somebody else, or the job was removed: nothing may be written.
        case leaseLost
        /// The attempt ran longer than it may.
        case deadlinePassed
        /// The daemon is stopping.
        case shutdown

        init(_ reason: HeartbeatSignal.Reason) {
            self =
                switch reason {
                case .lost: .leaseLost
                case .cancel: .cancelled
                case .timeout: .deadlinePassed
                }
        }
    }

    /// A job and where it is in the engine.
    struct Entry: Sendable {
        let lease: Lease
        let ticket: UInt64
        /// Whether nothing may run beside it.
        let isAlone: Bool
        /// Of jobs whose prompts begin alike.
        let prefixKey: Int64?
        /// Tokens of keys and values that it may come to hold.
        var kvTokens: Int
        /// Whether its prompt is done: it decodes.
        var isDecoding = false
        /// Under what its output may be gone on with by another attempt; nil where it may not.
        var identity: OutputIdentity?
        /// The tokens of its output so far, and how many of them are written down.
        var output: [TokenID] = [], savedTokens = 0
        var interruption: Interruption?
    }

    private let entries = Mutex<[Int64: Entry]>([:])

    var all: [Entry] { entries.withLock { Array($0.values) } }
    /// Whether a job is held that nothing may run beside.
    var isReserved: Bool { entries.withLock { $0.values.contains(where: \.isAlone) } }
    var count: Int { entries.withLock { $0.count } }
    /// Tokens of keys and values that the jobs held may come to need.
    var kvTokens: Int { entries.withLock { $0.values.reduce(0) { $0 + $1.kvTokens } } }
    /// The beginnings of the jobs held.
    var prefixes: [Int64] { entries.withLock { Set($0.values.compactMap(\.prefixKey)).sorted() } }
    /// Jobs whose prompt is not done.
    var inPrefill: Int { entries.withLock { $0.values.count { !$0.isDecoding } } }

    func add(_ job: ClaimedJob, ticket: UInt64) {
        let entry = Entry(
            lease: job.lease, ticket: ticket, isAlone: job.isAlone, prefixKey: job.prefixKey,
            kvTokens: KVBudget.tokens(forBytes: job.inputBytes))
        entries.withLock { $0[job.lease.jobID] = entry }
    }

    /// Notes what is known once a job's prompt is.
    ///
    /// - Parameters:
    ///   - kvTokens: How many tokens it really may come to.
    ///   - identity: Of its output, if another attempt may go on with it.
    ///   - output: What an attempt before has left.
    func prepared(_ jobID: Int64, kvTokens: Int, identity: OutputIdentity?, output: [TokenID]) {
        entries.withLock { entries in
            entries[jobID]?.kvTokens = kvTokens
            entries[jobID]?.identity = identity
            entries[jobID]?.output = output
            entries[jobID]?.savedTokens = output.count
        }
    }

    func remove(_ jobID: Int64) {
        entries.withLock { _ = $0.removeValue(forKey: jobID) }
    }

    /// Notes a token of a job's output, or its end.
    ///
    /// - Returns: Whether it is the first: the prompt is done.
    func add(_ token: TokenID?, to jobID: Int64) -> Bool {
        entries.withLock { entries in
            guard let wasDecoding = entries[jobID]?.isDecoding else { return false }
            entries[jobID]?.isDecoding = true
            if let token, entries[jobID]?.identity != nil { entries[jobID]?.output.append(token) }
            return !wasDecoding
        }
    }

    /// The outputs that have grown by at least so many tokens since they were written down.
    func checkpoints(grownBy tokens: Int) -> [JobCheckpoint] {
        all.compactMap { entry in
            guard let identity = entry.identity, entry.output.count >= entry.savedTokens + tokens else { return nil }
            return JobCheckpoint(
                lease: entry.lease,
                saved: SavedOutput(fingerprint: identity.fingerprint(of: entry.output), output: entry.output))
        }
    }

    /// Notes that outputs were written down.
    func saved(_ checkpoints: [JobCheckpoint]) {
        entries.withLock { entries in
            for checkpoint in checkpoints {
                entries[checkpoint.lease.jobID]?.savedTokens = checkpoint.saved.output.count
            }
        }
    }

    /// Notes why a job is about to be taken off the engine; the first reason stands.
    ///
    /// - Returns: The job's ticket in the engine, if the job is held.
    func interrupt(_ jobID: Int64, _ reason: Interruption) -> UInt64? {
        entries.withLock { entries in
            guard let entry = entries[jobID] else { return nil }
            if entry.interruption == nil { entries[jobID]?.interruption = reason }
            return entry.ticket
        }
    }

    func interruption(of jobID: Int64) -> Interruption? {
        entries.withLock { $0[jobID]?.interruption }
    }
}
