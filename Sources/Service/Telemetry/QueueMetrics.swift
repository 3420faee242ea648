// SPDX-License-Identifier: Apache-2.0

import CoreMetrics
import JobQueue
import Monitoring

/// Brings the queue's figures into the registry before a scrape, at most every few seconds.
///
/// Every daemon shows the same queue: take the maximum over them, not the sum.
actor QueueMetrics {
    static let descriptions = [
        MetricDescription("deltakv_queue_jobs", "Unfinished jobs of the queue by state; the same from every daemon."),
        MetricDescription(
            "deltakv_queue_oldest_seconds", "Age of the oldest job that could start now; 0 when none waits."),
    ]
    private static let freshness = Duration.seconds(5), patience = Duration.seconds(3)

    private let queue: JobQueue
    private let telemetry: Telemetry
    private var readAt: ContinuousClock.Instant?

    init(queue: JobQueue, telemetry: Telemetry) {
        self.queue = queue
        self.telemetry = telemetry
    }

    func collect() async {
        if let readAt, ContinuousClock.now - readAt < Self.freshness { return }
        readAt = .now
        guard let summary = await summary() else { return telemetry.jobs.databaseFailed() }
        for (state, count) in summary.unfinished {
            Gauge(
                label: "deltakv_queue_jobs", dimensions: [("state", state.rawValue)], factory: telemetry.registry
            ).record(count)
        }
        Gauge(label: "deltakv_queue_oldest_seconds", factory: telemetry.registry).record(summary.oldestSeconds ?? 0)
    }

    /// The queue's figures, or nil without them in time: a scrape must not wait for a database that is away, as what the engine
    /// did is wanted then most of all.
    private func summary() async -> QueueSummary? {
        await withTaskGroup(of: QueueSummary?.self) { [queue] group in
            group.addTask { try? await queue.summary() }
            group.addTask {
                try? await Task.sleep(for: Self.patience)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }
}
