// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// What a caller asks of a connection.
enum Request: Sendable {
    /// One statement with parameters, over the extended protocol; prepared once per connection where asked for.
    case statement(sql: String, parameters: [PostgresValue], prepared: Bool)
    /// Any number of statements over the simple protocol.
    case script(sql: String)
    /// `COPY … FROM STDIN`: done when the server waits for data.
    case beginCopy(sql: String)
    /// Data in COPY's text format: done when it has left our buffers.
    case copyData([UInt8])
    /// The end of the data, or with a reason its abandonment.
    case endCopy(failure: String?)
    /// The sole use of the connection until the session is closed.
    case openSession
}

/// A request that waits or runs, and the caller that waits for it. The result is nil where there is none to give.
struct Statement: Sendable {
    let id: UInt64
    let session: UInt64?
    let request: Request
    let cancellation: CancellationFlag
    let continuation: CheckedContinuation<PostgresResult?, any Error>
}

/// Set as soon as the caller's task is cancelled, even before its statement has reached the connection's queue.
final class CancellationFlag: Sendable {
    private let flag = Atomic(false)

    var isSet: Bool { flag.load(ordering: .acquiring) }
    func set() { flag.store(true, ordering: .releasing) }
}

/// The statement that has been sent, and what has come back so far.
struct RunningStatement {
    enum Phase {
        /// The statement is being prepared; it is executed next under this name.
        case preparing(name: String, parameters: EncodedParameters)
        case executing
        /// COPY data is on its way out; no answer is awaited.
        case sendingData
    }

    let statement: Statement
    var phase: Phase
    var result: PostgresResult?
    var error: PostgresError?
    /// Name in the cache of prepared statements, to drop it when the server no longer knows it.
    var preparedKey: PreparedKey?
    /// A cancel request is on its way. Until it is known to have arrived, the next statement must not start: it would be
    /// the one that the server stops.
    var cancelIsInFlight = false
    /// The caller was cancelled and the server has been told.
    var cancelWasSent = false
    var isAnswered = false
}

/// What a prepared statement is found by.
struct PreparedKey: Hashable {
    let sql: String
    let types: [UInt32]
}
