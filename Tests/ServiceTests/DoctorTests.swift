// SPDX-License-Identifier: Apache-2.0

import Foundation
import Monitoring
import Testing

@testable import Service

/// What the doctor makes of what it sees.
@Suite struct DoctorTests {
    private let gigabyte = 1 << 30

    @Test func memoryIsJudgedByWhatTheProcessMayUse() {
        func status(free: Int, limit: Int?, asked: Int) -> Doctor.Finding.Status {
            Doctor.memory(
                machine: 64 * gigabyte, free: free * gigabyte, limit: limit.map { $0 * gigabyte },
                keysAndValues: asked * gigabyte
            ).status
        }
        #expect(status(free: 60, limit: nil, asked: 16) == .good)
        #expect(status(free: 60, limit: nil, asked: 50) == .warning)
        #expect(status(free: 60, limit: 20, asked: 16) == .warning)
        #expect(status(free: 60, limit: 20, asked: 20) == .bad)
        #expect(status(free: 10, limit: nil, asked: 16) == .warning)
    }

    @Test func limitsOfControlGroupsAreFound() {
        let files = [
            "/sys/fs/cgroup/memory.max": "max\n", "/sys/fs/cgroup/a/memory.max": "5000\n",
            "/sys/fs/cgroup/a/b/memory.max": "7000\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "/sys/fs/cgroup/memory/c/memory.limit_in_bytes": "4096\n",
        ]
        func limit(_ groups: String) -> Int? { MemoryLimit.tightest(groups: groups) { files[$0] } }
        #expect(limit("0::/a/b\n") == 5000)
        #expect(limit("0::/\n") == nil)
        #expect(limit("4:cpu:/c\n3:memory:/c\n0::/\n") == 4096)
        #expect(limit("3:memory:/\n") == nil)
        #expect(limit("nonsense") == nil)
    }

    @Test func whatIsWrongComesWithAdvice() {
        let findings = [
            Doctor.connections(used: 95, most: 97), Doctor.clock(ahead: -3600), Doctor.clock(ahead: 31),
            Doctor.queue(waiting: 3, running: 0, oldestSeconds: 90),
        ]
        for finding in findings { #expect(finding.status == .warning && finding.advice != nil, "\(finding)") }
        #expect(findings[1].found == "3600 s behind the database's")
        #expect(Doctor.connections(used: 3, most: 97).status == .good)
        #expect(Doctor.clock(ahead: 0.2).status == .good)
        #expect(Doctor.queue(waiting: 3, running: 1, oldestSeconds: 90).status == .good)
        #expect(Doctor.queue(waiting: 0, running: 0, oldestSeconds: nil).found == "0 jobs wait, 0 run")
    }

    @Test func addressesAreTried() throws {
        let other = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(other) }
        var address = sockaddr_in(), length = socklen_t(MemoryLayout<sockaddr_in>.size)
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                #expect(bind(other, $0, length) == 0 && listen(other, 1) == 0 && getsockname(other, $0, &length) == 0)
            }
        }
        func finding(_ text: String) throws -> Doctor.Finding {
            Doctor.listening("metrics.listen", on: try #require(ListenAddress(text)), asking: "/health/live")
        }
        let taken = try finding("127.0.0.1:\(UInt16(bigEndian: address.sin_port))")
        #expect(taken.status == .bad && taken.found.contains("something else"))
        #expect(try finding("127.0.0.1:0").status == .good)
        let elsewhere = try finding("192.0.2.1:9464")
        #expect(elsewhere.status == .bad && elsewhere.advice != nil)
    }
}
