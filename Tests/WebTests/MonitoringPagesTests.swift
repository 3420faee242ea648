// SPDX-License-Identifier: Apache-2.0

import CoreMetrics
import Monitoring
import Testing

@testable import Web

@Suite struct MonitoringPagesTests {
    @Test func metricsAndHealthAreServed() async throws {
        let registry = PrometheusRegistry(), health = Health()
        Counter(label: "n_total", factory: registry).increment()
        try await withServer(MonitoringPages(registry: registry, health: health)) { (site) async throws in
            let metrics = try await site.call("GET", "/metrics")
            #expect(metrics.status == 200)
            #expect(metrics.headers["content-type"] == PrometheusRegistry.contentType)
            #expect(metrics.body == "# TYPE n_total counter\nn_total 1\n")
            #expect(try await site.call("GET", "/health/live").status == 200)
            let starting = try await site.call("GET", "/health/ready")
            #expect(starting.status == 503)
            #expect(starting.body == #"{"ok":false,"problems":["it is starting"]}"#)
            health.enter(.working)
            health.databaseAnswered()
            #expect(try await site.call("GET", "/health/ready").body == #"{"ok":true,"problems":[]}"#)
            #expect(try await site.call("GET", "/nothing").status == 404)
        }
    }

    /// A page elsewhere that points its own name at 127.0.0.1 gets nothing.
    @Test func foreignNamesAreRefusedOnLoopback() async throws {
        try await withServer(MonitoringPages(registry: PrometheusRegistry(), health: Health())) { (site) async throws in
            #expect(
                try await site.call("GET", "/metrics", headers: ["Host": "evil.example:\(site.port)"]).status == 421)
            #expect(try await site.call("GET", "/metrics", headers: ["Host": "127.0.0.1.evil.example"]).status == 421)
            #expect(try await site.call("GET", "/metrics", headers: ["Host": "localhost:\(site.port)"]).status == 200)
        }
    }
}
