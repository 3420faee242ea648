// SPDX-License-Identifier: Apache-2.0
import CPostgreSQL
import Glibc

// How a statement goes out and its answer comes in.
extension ConnectionCore {
    /// Submits a request and waits for its end. A shielded one is not stopped by the task's cancellation.
    nonisolated func run(_ request: Request, session: UInt64?, isShielded: Bool) async throws -> PostgresResult? {
        let id = nextIdentifier()
        let cancellation = CancellationFlag()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let statement = Statement(
                    id: id, session: session, request: request, cancellation: cancellation, continuation: continuation)
                perform { $0.submit(statement) }
            }
        } onCancel: {
            guard !isShielded else { return }
            cancellation.set()
            perform { $0.cancel(id) }
        }
    }

    // MARK: Out

    func start(_ statement: Statement) {
        guard let connection = handle?.pointer else { return }
        // What came in since the last event may be the news that the server is gone: then nothing is sent.
        let isAlive = PQconsumeInput(connection) == 1
        deliverNotifications()
        if let farewell = handle?.farewell { lose(farewell) } else if !isAlive { lose(lossError()) }
        if let failure { return statement.continuation.resume(throwing: failure) }
        running = RunningStatement(statement: statement, phase: .executing)
        do {
            guard try send(statement.request, on: connection) else { return lose(lossError()) }
            flush()
        } catch {
            // Nothing has been sent; the connection is as it was.
            running = nil
            statement.continuation.resume(throwing: error)
        }
    }

    /// False when libpq could not take the request.
    private func send(_ request: Request, on connection: OpaquePointer) throws(PostgresError) -> Bool {
        switch request {
        case .statement(let sql, let values, let prepared):
            try PostgresText.requireNoNUL(sql, in: "the statement")
            let parameters = try EncodedParameters(values)
            guard prepared else { return send(sql, parameters, on: connection) }
            return sendPrepared(sql, parameters, on: connection)
        case .script(let sql), .beginCopy(let sql):
            try PostgresText.requireNoNUL(sql, in: "the statement")
            return PQsendQuery(connection, sql) == 1
        case .copyData(let bytes):
            running?.phase = .sendingData
            let status = bytes.withUnsafeBytes { buffer in
                PQputCopyData(connection, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(buffer.count))
            }
            return status == 1
        case .endCopy(let failure):
            return PQputCopyEnd(connection, failure) == 1
        case .openSession:
            return true
        }
    }

    private func send(_ sql: String, _ parameters: EncodedParameters, on connection: OpaquePointer) -> Bool {
        parameters.withPointers { values, lengths, formats in
            PQsendQueryParams(
                connection, sql, Int32(lengths.count), parameters.types, values, lengths, formats, 0) == 1
        }
    }

    private func sendPrepared(_ sql: String, _ parameters: EncodedParameters, on connection: OpaquePointer) -> Bool {
        let key = PreparedKey(sql: sql, types: parameters.types)
        if let name = preparedNames[key] {
            running?.preparedKey = key
            return sendExecution(of: name, parameters, on: connection)
        }
        guard preparedNames.count < Self.maximumPrepared else { return send(sql, parameters, on: connection) }
        preparedCount += 1
        let name = "deltakv_\(preparedCount)"
        running?.preparedKey = key
        running?.phase = .preparing(name: name, parameters: parameters)
        return PQsendPrepare(connection, name, sql, Int32(parameters.types.count), parameters.types) == 1
    }

    private func sendExecution(of name: String, _ parameters: EncodedParameters, on connection: OpaquePointer) -> Bool {
        parameters.withPointers { values, lengths, formats in
            PQsendQueryPrepared(connection, name, Int32(lengths.count), values, lengths, formats, 0) == 1
        }
    }

    /// Statements that each session on the server keeps for us; beyond that they run unprepared.
    private static let maximumPrepared = 256

    /// Writes what is buffered, as far as the socket takes it.
    func flush() {
        guard let connection = handle?.pointer else { return }
        let status = PQflush(connection)
        guard status >= 0 else { return lose(lossError()) }
        watch?.watchesWriting = status == 1
        if status == 0, case .sendingData? = running?.phase {
            running?.isAnswered = true
            finishIfDone()
        } else if status == 0 {
            advance()
        }
    }

    // MARK: In

    func socketIsReadable() {
        guard let connection = handle?.pointer else { return }
        var isAlive: Bool
        // Dispatch tells of a closed socket once, together with what had been sent before: everything has to be read now,
        // or the end would never be seen.
        repeat {
            isAlive = PQconsumeInput(connection) == 1
        } while isAlive && hasInput(PQsocket(connection))
        deliverNotifications()
        // The last words of a server that goes away are read before the connection is given up.
        advance()
        guard isAlive else { return lose(lossError()) }
        if watch?.watchesWriting == true { flush() }
    }

    private func hasInput(_ socket: Int32) -> Bool {
        var descriptor = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        return poll(&descriptor, 1, 0) > 0
    }

    /// Takes in all results that are complete.
    private func advance() {
        while let connection = handle?.pointer, awaitsAnswer, PQisBusy(connection) == 0 {
            guard let result = PQgetResult(connection) else {
                guard continueAfterPreparing(on: connection) else { answered(); return }
                continue
            }
            guard take(result, on: connection) else { return }
        }
    }

    private var awaitsAnswer: Bool {
        guard let running, !running.isAnswered else { return false }
        if case .sendingData = running.phase { return false }
        return true
    }

    /// False when there is nothing more to read for now.
    private func take(_ result: OpaquePointer, on connection: OpaquePointer) -> Bool {
        switch PQresultStatus(result) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            running?.result = PostgresResult(storage: ResultStorage(result))
            return true
        case PGRES_COPY_IN:
            PQclear(result)
            if case .beginCopy? = running?.statement.request {
                answered()
                return false
            }
            refuseCopy()
            guard PQputCopyEnd(connection, "COPY needs copyIn") == 1, PQflush(connection) >= 0 else {
                lose(lossError())
                return false
            }
            return true
        case PGRES_COPY_OUT:
            PQclear(result)
            refuseCopy()
            return discardCopyOut(on: connection)
        case PGRES_COPY_BOTH:
            PQclear(result)
            lose(PostgresError(.connectionLost, "replication is not supported on this connection"))
            return false
        default:
            if running?.error == nil { running?.error = PostgresError(result: result) }
            PQclear(result)
            return true
        }
    }

    private func refuseCopy() {
        guard running?.error == nil else { return }
        running?.error = PostgresError(.invalidRequest, "COPY does not run as a query; use copyIn to load rows")
    }

    /// False when more must arrive first; libpq then says COPY OUT again on the next call.
    private func discardCopyOut(on connection: OpaquePointer) -> Bool {
        var row: UnsafeMutablePointer<CChar>?
        while true {
            let length = PQgetCopyData(connection, &row, 1)
            PQfreemem(row)
            row = nil
            if length == 0 { return false }
            if length < 0 { return true }
        }
    }

    /// After a statement was prepared without error, sends its execution.
    private func continueAfterPreparing(on connection: OpaquePointer) -> Bool {
        guard case .preparing(let name, let parameters)? = running?.phase, running?.error == nil else { return false }
        if let key = running?.preparedKey { preparedNames[key] = name }
        running?.phase = .executing
        guard running?.cancelWasSent == false else {
            running?.error = PostgresError(.server, "canceling statement due to user request", sqlState: "57014")
            return false
        }
        guard sendExecution(of: name, parameters, on: connection) else {
            lose(lossError())
            return true
        }
        flush()
        return running != nil
    }

    private func answered() {
        forgetStalePreparedStatement()
        running?.isAnswered = true
        deliverNotifications()
        finishIfDone()
    }

    /// The server has dropped the statement (DISCARD) or its result has changed shape; it is prepared anew next time.
    private func forgetStalePreparedStatement() {
        guard let key = running?.preparedKey, let state = running?.error?.sqlState else { return }
        if state == "26000" || state == "0A000" { preparedNames[key] = nil }
    }

    private func deliverNotifications() {
        while let connection = handle?.pointer, let notification = PQnotifies(connection) {
            let channel = String(cString: notification.pointee.relname)
            let delivered = PostgresNotification(
                channel: channel, payload: String(cString: notification.pointee.extra),
                backendProcessID: notification.pointee.be_pid)
            PQfreemem(notification)
            subscribers[channel]?.values.forEach { $0.yield(delivered) }
        }
    }

    private func lossError() -> PostgresError {
        PostgresError(.connectionLost, handle?.errorMessage ?? "the connection is gone")
    }
}
