// SPDX-License-Identifier: Apache-2.0
import Foundation
import PostgreSQL

/// A reason for a worker to look at the queue.
public enum WakeUp: Sendable, Hashable {
    /// Jobs were submitted, redriven or handed back.
    case jobsAvailable
    /// Running jobs were cancelled: send a heartbeat to learn which.
    case cancelRequested
    /// Time has passed, or notifications may have been missed.
    case poll
}

extension JobQueue {
    /// Reasons to look at the queue, for as long as the stream is consumed: notifications, and a poll every
    /// `pollInterval`, a quarter more or less so that many workers do not ask at the same time.
    ///
    /// - Parameters:
    ///   - pollInterval: bounds how long due, retryable and orphaned jobs wait
    ///   - listening: false where LISTEN does not work, as behind a pooler that shares sessions; then only polls come
    public func wakeUps(pollInterval: Duration = .seconds(2), listening: Bool = true) -> AsyncStream<WakeUp> {
        // A reader that is busy needs no second reason of a kind; the few kept hold one of each in practice, and a poll
        // finds whatever was dropped.
        let (stream, continuation) = AsyncStream.makeStream(of: WakeUp.self, bufferingPolicy: .bufferingNewest(8))
        let client = self.client
        let task = Task {
            await withTaskGroup(of: Void.self) { group in
                if listening {
                    group.addTask {
                        for await event in client.listen(["deltakv_jobs"]) { continuation.yield(WakeUp(event)) }
                    }
                }
                group.addTask {
                    while !Task.isCancelled {
                        continuation.yield(.poll)
                        try? await Task.sleep(for: pollInterval * Double.random(in: 0.75...1.25))
                    }
                }
            }
            continuation.finish()
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }
}

extension WakeUp {
    fileprivate init(_ event: PostgresListenEvent) {
        switch event {
        case .connected: self = .poll
        case .notification(let notification):
            self = notification.payload == "cancel" ? .cancelRequested : .jobsAvailable
        }
    }
}
