// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Monitoring

/// `/metrics` for Prometheus, `/health/live` and `/health/ready` for probes.
public struct MonitoringPages: WebPages {
    private let registry: PrometheusRegistry
    private let health: Health

    /// Pages over a daemon's metrics and health.
    public init(registry: PrometheusRegistry, health: Health) {
        self.registry = registry
        self.health = health
    }

    /// Adds the three pages.
    public func add(to router: Router<BasicRequestContext>) {
        router.get("/metrics") { _, _ in
            Response.text(await registry.text(), type: PrometheusRegistry.contentType)
        }
        router.get("/health/live") { _, _ in Self.answer(health.liveness()) }
        router.get("/health/ready") { _, _ in Self.answer(health.readiness()) }
    }

    private static func answer(_ report: Health.Report) -> Response {
        let problems = report.problems.map(\.jsonQuoted).joined(separator: ",")
        return .json(
            "{\"ok\":\(report.isGood),\"problems\":[\(problems)]}",
            status: report.isGood ? .ok : .serviceUnavailable)
    }
}
