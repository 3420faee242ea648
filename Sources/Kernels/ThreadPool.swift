// SPDX-License-Identifier: Apache-2.0
import CKernels
import Synchronization

/// Persistent worker threads for short parallel loops.
///
/// Workers spin for some microseconds after a loop and then sleep; the calling thread takes part. Indices are handed out
/// dynamically. Calls from several threads are served one after the other.
public final class ThreadPool: Sendable {
    /// Threads that take part in a loop, the caller included.
    public let threads: Int
    private let lock = Mutex(())
    // Immutable, and the C side is thread-safe under the lock.
    private nonisolated(unsafe) let pool: OpaquePointer

    /// Starts `threads - 1` workers. By default one thread per core that the process may use (``CPUBudget``).
    ///
    /// - Throws: ``KernelError/noThreads(_:)``.
    public init(threads: Int = CPUBudget.current().threads) throws(KernelError) {
        let count = min(max(threads, 1), 1024)
        guard let pool = dkv_pool_create(count) else { throw .noThreads(count) }
        self.pool = pool
        self.threads = count
    }

    deinit { dkv_pool_destroy(pool) }

    /// Calls `body` once for every index in `0..<count`, in parallel, and returns when all are done.
    ///
    /// `body` must not call back into the same pool. Swift allocates one small object a call to check that the closure does
    /// not escape; loops inside a step use ``run(count:context:task:)``.
    public func run(count: Int, _ body: @Sendable (_ index: Int) -> Void) {
        withoutActuallyEscaping(body) { body in
            var job = Job(body: body)
            withUnsafeMutablePointer(to: &job) { job in
                run(count: count, context: job) { context, index, _ in
                    context?.assumingMemoryBound(to: Job.self).pointee.body(index)
                }
            }
        }
    }

    private struct Job {
        let body: @Sendable (Int) -> Void
    }

    /// The same for a C function, without any allocation. It is given `context`, the index, and the number of the worker that
    /// runs it (0 for the caller, below ``threads``).
    public func run(
        count: Int, context: UnsafeMutableRawPointer, task: @convention(c) (UnsafeMutableRawPointer?, Int, Int) -> Void
    ) {
        lock.withLock { _ in dkv_pool_run(pool, count, task, context) }
    }
}
