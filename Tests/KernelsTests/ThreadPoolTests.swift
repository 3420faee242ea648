// SPDX-License-Identifier: Apache-2.0
import Foundation
import Synchronization
import Testing

@testable import Kernels

@Suite struct ThreadPoolTests {
    @Test(arguments: [1, 2, 3, 8])
    func everyIndexOnce(_ threads: Int) throws {
        let pool = try ThreadPool(threads: threads)
        #expect(pool.threads == threads)
        for count in [0, 1, 2, 7, 100, 1001] {
            let hits = Counters(count)
            for _ in 0..<200 { pool.run(count: count) { hits.add($0) } }
            #expect(hits.values.allSatisfy { $0 == 200 })
        }
    }

    /// Workers fall asleep between runs and must wake for the next.
    @Test func wakesAfterSleep() throws {
        let pool = try ThreadPool(threads: 4)
        let hits = Counters(64)
        for _ in 0..<5 {
            usleep(3000)
            pool.run(count: 64) { hits.add($0) }
        }
        #expect(hits.values.allSatisfy { $0 == 5 })
    }

    @Test func severalDriversTakeTurns() async throws {
        let pool = try ThreadPool(threads: 3)
        let hits = Counters(50)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<6 { group.addTask { for _ in 0..<100 { pool.run(count: 50) { hits.add($0) } } } }
        }
        #expect(hits.values.allSatisfy { $0 == 600 })
    }

    @Test func startsAndStops() throws {
        for threads in 1...20 { _ = try ThreadPool(threads: threads) }
    }

    @Test func budgetFollowsControlGroups() {
        let files = [
            "/sys/fs/cgroup/cpu.max": "max 100000\n", "/sys/fs/cgroup/a/cpu.max": "350000 100000\n",
            "/sys/fs/cgroup/a/b/cpu.max": "800000 100000\n",
            "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "150000\n", "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        ]
        #expect(CPUBudget.quota(groups: "0::/a/b\n") { files[$0] } == 3.5)
        #expect(CPUBudget.quota(groups: "3:cpu,cpuacct:/x\n2:memory:/y\n") { files[$0] } == 1.5)
        #expect(CPUBudget.quota(groups: "1:cpu:/\n0::/\nnonsense\n") { files[$0] } == nil)
        #expect(CPUBudget(cores: 8, quota: 3.5).threads == 3)
        #expect(CPUBudget(cores: 2, quota: 8).threads == 2)
        #expect(CPUBudget(cores: 2, quota: 0.3).threads == 1)
        #expect(CPUBudget.current().threads >= 1)
    }

    @Test func instructionSetOverride() throws {
        #expect(try InstructionSet.choose(override: nil) == .best)
        #expect(try InstructionSet.choose(override: "") == .best)
        #expect(try InstructionSet.choose(override: "Scalar") == .scalar)
        #expect(throws: KernelError.unknownInstructionSet("sse9")) { try InstructionSet.choose(override: "sse9") }
        #expect(InstructionSet.supported.contains(.scalar) && InstructionSet.supported.last == .best)
    }
}

/// Counters that any thread may raise.
private final class Counters: Sendable {
    private let counts: Mutex<[Int]>

    init(_ count: Int) { counts = Mutex(Array(repeating: 0, count: count)) }

    func add(_ index: Int) { counts.withLock { $0[index] += 1 } }

    var values: [Int] { counts.withLock { $0 } }
}
