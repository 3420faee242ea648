// SPDX-License-Identifier: Apache-2.0
import DequeModule
import Logging

/// Hands out connections, at most `size` at a time, opening them when they are needed.
actor ConnectionPool {
    private struct Waiter {
        let id: UInt64
        let continuation: CheckedContinuation<Void, any Error>
    }

    private let settings: PostgresSettings
    private let size: Int
    private let patience: Duration
    private let logger: Logger
    private var idle: [PostgresConnection] = []
    private var lent: [ObjectIdentifier: PostgresConnection] = [:]
    /// Connections lent or being opened, plus those reserved for a waiter that was just woken.
    private var inUse = 0
    private var waiters: Deque<Waiter> = []
    private var nextWaiter: UInt64 = 0
    private var isClosed = false

    init(settings: PostgresSettings, size: Int, patience: Duration, logger: Logger) {
        self.settings = settings
        self.size = size
        self.patience = patience
        self.logger = logger
    }

    /// A connection that was usable a moment ago; `giveBack` must follow.
    func take() async throws -> PostgresConnection {
        try await reserve()
        do {
            let connection = try await usableConnection()
            guard !isClosed else {
                await connection.close()
                throw Self.closedError
            }
            lent[ObjectIdentifier(connection)] = connection
            return connection
        } catch {
            release()
            throw error
        }
    }

    func giveBack(_ connection: PostgresConnection) async {
        if await connection.isInTransaction { _ = try? await connection.script("ROLLBACK") }
        lent[ObjectIdentifier(connection)] = nil
        if await connection.isReusable, !isClosed { idle.append(connection) } else { await connection.close() }
        release()
    }

    func close() async {
        isClosed = true
        waiters.forEach { $0.continuation.resume(throwing: Self.closedError) }
        waiters.removeAll()
        let all = idle + lent.values
        idle.removeAll()
        for connection in all { await connection.close() }
    }

    private static let closedError = PostgresError(.closed, "the client was closed")

    private func usableConnection() async throws -> PostgresConnection {
        while let connection = idle.popLast() {
            if await connection.isUsable { return connection }
        }
        return try await PostgresConnection.connect(settings, patience: patience, logger: logger) {
            guard await self.isClosed else { return }
            throw Self.closedError
        }
    }

    // MARK: Slots

    private func reserve() async throws {
        guard !isClosed else { throw Self.closedError }
        try Task.checkCancellation()
        if inUse < size {
            inUse += 1
            return
        }
        nextWaiter += 1
        let id = nextWaiter
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { waiters.append(Waiter(id: id, continuation: $0)) }
        } onCancel: {
            Task { await self.abandon(id) }
        }
    }

    /// Passes the slot on, or frees it.
    private func release() {
        if let waiter = waiters.popFirst() { waiter.continuation.resume() } else { inUse -= 1 }
    }

    private func abandon(_ id: UInt64) {
        guard let index = waiters.firstIndex(where: { $0.id == id }) else { return }
        waiters.remove(at: index).continuation.resume(throwing: CancellationError())
    }
}

extension PostgresConnection {
    fileprivate var isReusable: Bool { get async { await core.isReusable } }

    /// Connects, trying again after transient failures until `patience` is used up; nil never gives up. `beforeRetry`
    /// may throw to end the attempt.
    static func connect(
        _ settings: PostgresSettings, patience: Duration?, logger: Logger,
        beforeRetry: @Sendable () async throws -> Void = {}
    ) async throws -> PostgresConnection {
        let clock = ContinuousClock()
        let end = patience.map { clock.now + $0 }
        var backoff = Backoff()
        while true {
            do {
                return try await connect(settings, logger: logger)
            } catch let error as PostgresError where error.isTransient {
                if let end, clock.now >= end { throw error }
                logger.warning("No connection to PostgreSQL yet, trying again", metadata: ["reason": "\(error)"])
                try await backoff.wait()
                try await beforeRetry()
            }
        }
    }
}
