// SPDX-License-Identifier: Apache-2.0

import Foundation
import Monitoring
import Testing

@Suite struct ServiceManagerTests {
    /// A socket as systemd would hold it.
    private final class Listener {
        let path = "/tmp/dkv-notify-\(UInt32.random(in: 0 ... .max))"
        private let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)

        init() throws {
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            let bound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            try #require(bound == 0)
            var limit = timeval(tv_sec: 5, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        }

        deinit {
            close(descriptor)
            unlink(path)
        }

        func next() -> String? {
            var bytes = [UInt8](repeating: 0, count: 512)
            let count = recv(descriptor, &bytes, bytes.count, 0)
            return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
        }
    }

    @Test func nobodyIsToldWhereNobodyAsks() {
        #expect(ServiceManager(environment: [:]) == nil)
        #expect(ServiceManager(environment: ["NOTIFY_SOCKET": "relative"]) == nil)
        #expect(ServiceManager(environment: ["NOTIFY_SOCKET": "/nowhere/at/all"])?.notify("READY=1") == false)
    }

    @Test func signsOfLifeStopWhenTheEngineHangs() async throws {
        let listener = try Listener()
        let manager = try #require(
            ServiceManager(environment: ["NOTIFY_SOCKET": listener.path, "WATCHDOG_USEC": "40000"]))
        #expect(manager.watchdogInterval == .milliseconds(20))
        let health = Health(stepLimit: .seconds(1))
        let informing = Task { await manager.keepInformed(of: health) }
        #expect(listener.next() == "READY=1\nSTATUS=Taking jobs.")
        #expect(listener.next() == "WATCHDOG=1")
        let began = ContinuousClock.now - .seconds(2)
        health.watchSteps { began }
        try await Task.sleep(for: .milliseconds(60))
        // What came before the engine hung has been sent; from here on there is silence, which a last word ends.
        informing.cancel()
        await informing.value
        manager.notify("END")
        var messages: [String] = []
        while let message = listener.next(), message != "END" { messages.append(message) }
        #expect(messages.count <= 2)
    }
}
