// SPDX-License-Identifier: Apache-2.0
import CKernels

/// What this machine can do at most with all threads of a pool and one instruction set, measured: the yardstick of kernels.
public struct MachineLimits: Sendable {
    /// Operations a second, two for each product of int8 that is added to an int32, in vectors: tiles of AMX do more.
    public let int8OperationsPerSecond: Double
    /// Operations a second, two for each fp32 multiply-add.
    public let floatOperationsPerSecond: Double
    /// Bytes a second that are read from memory.
    public let bytesPerSecond: Double

    /// Bytes that each thread reads: far more than caches hold.
    private static let bytesPerThread = 128 << 20

    /// Measures for about a second; other work on the machine only takes away, so the best of several tries counts.
    ///
    /// - Throws: ``KernelError/outOfMemory(bytes:code:)``.
    public init(_ compute: Compute) throws(KernelError) {
        let threads = compute.pool.threads, isa = compute.instructionSet.code
        let memory = try ReservedMemory(count: threads * Self.bytesPerThread, hugePages: true)
        memory.base.initializeMemory(as: UInt8.self, repeating: 1, count: memory.count)
        var limit = dkv_limit()
        limit.isa = isa
        limit.rounds = 1 << 21
        limit.memory = UnsafePointer(memory.base.assumingMemoryBound(to: UInt64.self))
        limit.words = Self.bytesPerThread / MemoryLayout<UInt64>.stride
        let each = Double(threads * limit.rounds)
        int8OperationsPerSecond =
            each * Double(dkv_limit_dot_operations(isa)) / Self.best(compute, &limit, dkv_limit_dot_task)
        floatOperationsPerSecond =
            each * Double(dkv_limit_fma_operations(isa)) / Self.best(compute, &limit, dkv_limit_fma_task)
        bytesPerSecond = Double(memory.count) / Self.best(compute, &limit, dkv_limit_read_task)
    }

    /// Seconds of the fastest of some runs of one task for each thread.
    private static func best(
        _ compute: Compute, _ limit: inout dkv_limit,
        _ task: @convention(c) (UnsafeMutableRawPointer?, Int, Int) -> Void
    ) -> Double {
        let clock = ContinuousClock()
        return withUnsafeMutablePointer(to: &limit) { limit in
            (0..<10).map { _ in
                clock.measure { compute.pool.run(count: compute.pool.threads, context: limit, task: task) }
                    / .seconds(1)
            }.min() ?? .infinity
        }
    }
}
