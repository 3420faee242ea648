// SPDX-License-Identifier: Apache-2.0
import Dispatch

/// Runs an actor on a dispatch queue of its own, so that socket events arrive in the actor's isolation and a call into
/// libpq that takes long (name look-up, a large result) holds up no thread of the concurrency pool.
final class QueueExecutor: SerialExecutor {
    let queue: DispatchQueue

    init(label: String) { queue = DispatchQueue(label: label) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }
}
