// SPDX-License-Identifier: Apache-2.0

import CoreMetrics
import Monitoring

/// What a daemon lets others see of itself: metrics and health.
public struct Telemetry: Sendable {
    /// The metrics, for scrapes.
    public let registry: PrometheusRegistry
    /// Whether the daemon lives and works, for probes.
    public let health: Health
    let jobs: JobMetrics

    /// Telemetry of a daemon that starts.
    public init(health: Health = Health()) {
        self.health = health
        registry = PrometheusRegistry(
            JobMetrics.descriptions + EngineMetrics.descriptions + CacheMetrics.descriptions
                + QueueMetrics.descriptions)
        jobs = JobMetrics(factory: registry)
        Gauge(label: "deltakv_build_info", dimensions: [("version", Version.current)], factory: registry).record(1)
    }
}
