// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Glibc

enum SocketDirection { case read, write }

/// A copy of a socket's descriptor for a dispatch source. libpq may close its own descriptor, and the system may hand the
/// number out again, while the source is still registered; a copy stays ours until the source is gone.
func duplicateDescriptor(_ descriptor: Int32) -> Int32? {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
    return copy >= 0 ? copy : nil
}

/// Waits once until a socket can be read or written, a deadline passes or the task is cancelled.
/// All state belongs to `queue`.
final class SocketWait: @unchecked Sendable {
    enum Outcome { case ready, timedOut, cancelled, noDescriptor }

    private let queue: DispatchQueue
    private var source: (any DispatchSourceProtocol)?
    private var continuation: CheckedContinuation<Outcome, Never>?
    private var outcome: Outcome?

    private init(queue: DispatchQueue) { self.queue = queue }

    static func wait(
        _ socket: Int32, _ direction: SocketDirection, until deadline: DispatchTime, on queue: DispatchQueue
    ) async -> Outcome {
        let wait = SocketWait(queue: queue)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                queue.async { wait.start(socket, direction, deadline, continuation) }
            }
        } onCancel: {
            queue.async { wait.finish(.cancelled) }
        }
    }

    private func start(
        _ socket: Int32, _ direction: SocketDirection, _ deadline: DispatchTime,
        _ continuation: CheckedContinuation<Outcome, Never>
    ) {
        if let outcome { return continuation.resume(returning: outcome) }
        guard let descriptor = duplicateDescriptor(socket) else { return continuation.resume(returning: .noDescriptor) }
        self.continuation = continuation
        let source: any DispatchSourceProtocol =
            direction == .read
            ? DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
            : DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler { self.finish(.ready) }
        source.setCancelHandler { close(descriptor) }
        self.source = source
        source.resume()
        queue.asyncAfter(deadline: deadline) { [weak self] in self?.finish(.timedOut) }
    }

    private func finish(_ outcome: Outcome) {
        guard self.outcome == nil else { return }
        self.outcome = outcome
        source?.cancel()
        source = nil
        continuation?.resume(returning: outcome)
        continuation = nil
    }
}
