// SPDX-License-Identifier: Apache-2.0
import CPostgreSQL
import Dispatch
import Logging
import Synchronization

/// One connection: libpq's object, its socket, and the statements that wait for it.
///
/// The actor runs on a dispatch queue of its own. Socket events and callers' requests both arrive there, and drive the
/// running statement forward step by step; nothing ever waits for the server.
actor ConnectionCore {
    nonisolated let executor: QueueExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    nonisolated let logger: Logger
    private nonisolated let identifiers = Atomic<UInt64>(1)

    var handle: ConnectionHandle?
    var watch: SocketWatch?
    var waiting = TurnQueue<Statement>()
    var running: RunningStatement?
    var preparedNames: [PreparedKey: String] = [:]
    var preparedCount = 0
    var subscribers: [String: [UInt64: AsyncStream<PostgresNotification>.Continuation]] = [:]
    private var cancelHandle: CancelHandle?
    /// Why the connection cannot be used: nil while it can.
    private(set) var failure: PostgresError?

    init(logger: Logger) {
        self.logger = logger
        executor = QueueExecutor(label: "deltakv.postgresql")
    }

    /// A number that no other statement, session or subscriber of this connection has.
    nonisolated func nextIdentifier() -> UInt64 { identifiers.wrappingAdd(1, ordering: .relaxed).oldValue }

    /// Runs `body` on the connection's queue without waiting for it.
    nonisolated func perform(_ body: @escaping @Sendable (isolated ConnectionCore) -> Void) {
        executor.queue.async { self.assumeIsolated { body($0) } }
    }

    var isUsable: Bool { handle != nil && failure == nil }
    var isReusable: Bool { isUsable && !isInTransaction }
    var isInTransaction: Bool { handle.map { PQtransactionStatus($0.pointer) != PQTRANS_IDLE } ?? false }
    var backendProcessID: Int32 { handle.map { PQbackendPID($0.pointer) } ?? 0 }
    var serverVersion: Int { handle.map { Int(PQserverVersion($0.pointer)) } ?? 0 }

    func parameter(_ name: String) -> String? {
        handle.flatMap { PQparameterStatus($0.pointer, name) }.map { String(cString: $0) }
    }

    /// Takes over a connection that stands.
    func adopt(_ handle: ConnectionHandle) throws(PostgresError) {
        PQsetnonblocking(handle.pointer, 1)
        PQsetErrorVerbosity(handle.pointer, PQERRORS_DEFAULT)
        let watch = SocketWatch(
            socket: PQsocket(handle.pointer), queue: executor.queue,
            onReadable: { [weak self] in self?.assumeIsolated { $0.socketIsReadable() } },
            onWritable: { [weak self] in self?.assumeIsolated { $0.flush() } })
        guard let watch, let cancel = PQgetCancel(handle.pointer) else {
            throw PostgresError(.connectionFailed, "no file descriptor or memory is left; raise the limit (ulimit -n)")
        }
        cancelHandle = CancelHandle(cancel)
        self.watch = watch
        self.handle = handle
    }

    // MARK: Turns

    func submit(_ statement: Statement) {
        if let refusal = refusal(of: statement) { return statement.continuation.resume(throwing: refusal) }
        // A request to open a session is not of that session yet: it takes its turn among all others.
        let session: UInt64? = if case .openSession = statement.request { nil } else { statement.session }
        waiting.append(statement, id: statement.id, session: session)
        startNext()
    }

    private func refusal(of statement: Statement) -> (any Error)? {
        if statement.cancellation.isSet { return CancellationError() }
        if let failure { return failure }
        if case .openSession = statement.request { return nil }
        guard let session = statement.session, session != waiting.holder else { return nil }
        return PostgresError(.invalidRequest, "the transaction has ended; its handle cannot be used any more")
    }

    func closeSession(_ session: UInt64) {
        guard waiting.holder == session else { return }
        waiting.holder = nil
        startNext()
    }

    func startNext() {
        while running == nil, failure == nil, let statement = waiting.next() {
            if case .openSession = statement.request {
                waiting.holder = statement.session
                statement.continuation.resume(returning: nil)
            } else {
                start(statement)
            }
        }
    }

    /// Ends the running statement once the server has answered and no cancel request is under way.
    func finishIfDone() {
        guard let done = running, done.isAnswered, !done.cancelIsInFlight else { return }
        running = nil
        if let error = done.error {
            let stopped = done.cancelWasSent && error.isCancelledStatement
            done.statement.continuation.resume(throwing: stopped ? CancellationError() : error)
        } else {
            done.statement.continuation.resume(returning: done.result)
        }
        startNext()
    }

    // MARK: Cancellation

    func cancel(_ id: UInt64) {
        if let statement = waiting.remove(id: id) {
            return statement.continuation.resume(throwing: CancellationError())
        }
        guard running?.statement.id == id, running?.cancelWasSent == false, let cancelHandle else { return }
        running?.cancelWasSent = true
        running?.cancelIsInFlight = true
        // libpq's cancel request blocks; the default queue has threads to spare for it.
        DispatchQueue.global().async {
            cancelHandle.send()
            self.perform { core in
                guard core.running?.statement.id == id else { return }
                core.running?.cancelIsInFlight = false
                core.finishIfDone()
            }
        }
        executor.queue.asyncAfter(deadline: .now() + Self.cancelPatience) { [weak self] in
            self?.assumeIsolated { core in
                guard core.running?.statement.id == id else { return }
                core.lose(PostgresError(.connectionLost, "the server did not answer a cancel request"))
            }
        }
    }

    private static let cancelPatience: DispatchTimeInterval = .seconds(10)

    // MARK: End

    /// Gives the connection up: the running statement fails with `error`, those that wait are told that they were not sent.
    func lose(_ error: PostgresError) {
        guard failure == nil else { return }
        let unsent = PostgresError(
            .closed,
            error.kind == .closed ? error.message : "not sent, for the connection was lost before: \(error.message)")
        failure = unsent
        watch = nil
        handle = nil
        cancelHandle = nil
        running?.statement.continuation.resume(throwing: running?.error ?? error)
        running = nil
        waiting.removeAll().forEach { $0.continuation.resume(throwing: unsent) }
        subscribers.values.forEach { $0.values.forEach { $0.finish() } }
        subscribers.removeAll()
    }
}

/// libpq's cancel object; it may be used from any thread.
private final class CancelHandle: @unchecked Sendable {
    private let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) { self.pointer = pointer }
    deinit { PQfreeCancel(pointer) }

    func send() {
        var message = [CChar](repeating: 0, count: 256)
        _ = PQcancel(pointer, &message, Int32(message.count))
    }
}
