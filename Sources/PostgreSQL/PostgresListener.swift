// SPDX-License-Identifier: Apache-2.0
import Logging

/// Keeps a connection that listens.
struct PostgresListener: Sendable {
    let settings: PostgresSettings
    let channels: [String]
    let logger: Logger

    /// Listens until the task is cancelled or the server refuses for good.
    func run(yield: @escaping @Sendable (PostgresListenEvent) -> Void) async {
        var backoff = Backoff()
        while !Task.isCancelled {
            do {
                let connection = try await PostgresConnection.connect(settings, patience: nil, logger: logger)
                let streams = try await subscribe(on: connection)
                backoff = Backoff()
                yield(.connected)
                await forward(streams, to: yield)
                await connection.close()
            } catch let error as PostgresError where error.isTransient || error.kind == .closed {
                logger.warning("Lost the connection that listens", metadata: ["reason": "\(error)"])
            } catch is CancellationError {
                return
            } catch {
                logger.error("Cannot listen for notifications", metadata: ["reason": "\(error)"])
                return
            }
            // Not at once: a server that accepts and drops connections would be asked without pause.
            try? await backoff.wait()
        }
    }

    private func subscribe(on connection: PostgresConnection) async throws -> [AsyncStream<PostgresNotification>] {
        var streams: [AsyncStream<PostgresNotification>] = []
        for channel in channels { streams.append(try await connection.listen(channel)) }
        return streams
    }

    private func forward(
        _ streams: [AsyncStream<PostgresNotification>], to yield: @escaping @Sendable (PostgresListenEvent) -> Void
    ) async {
        await withTaskGroup(of: Void.self) { group in
            for stream in streams {
                group.addTask { for await notification in stream { yield(.notification(notification)) } }
            }
        }
    }
}
