// SPDX-License-Identifier: Apache-2.0

import CacheStore
import CoreMetrics
import Monitoring
import Synchronization

/// Brings what this process has done with the persisted cache into the registry before each scrape.
final class CacheMetrics: Sendable {
    static let descriptions = [
        MetricDescription("deltakv_cache_hits_total", "Chunks of prompts that were loaded from the cache directory."),
        MetricDescription(
            "deltakv_cache_misses_total",
            "Prompts that were not in the cache directory to their end, by the reason why the first chunk was not found."
        ),
        MetricDescription("deltakv_cache_saved_seconds_total", "Seconds that loaded chunks had cost to compute."),
        MetricDescription("deltakv_cache_read_bytes_total", "Bytes of chunks loaded."),
        MetricDescription("deltakv_cache_written_total", "Chunks written."),
        MetricDescription("deltakv_cache_written_bytes_total", "Bytes of chunks written."),
        MetricDescription(
            "deltakv_cache_refused_total", "Chunks that found no room, or came faster than the disk takes them."),
        MetricDescription(
            "deltakv_cache_removed_total",
            "Chunks removed: evicted to make room, expired, orphaned (what they follow is gone) or damaged."),
        MetricDescription("deltakv_cache_bytes", "Bytes of all chunks in the cache directory."),
    ]

    private let factory: any MetricsFactory
    private let seen = Mutex(CacheStatistics())
    private let store: @Sendable () -> (statistics: CacheStatistics, bytes: Int)

    init(
        factory: any MetricsFactory, store: @escaping @Sendable () -> (statistics: CacheStatistics, bytes: Int)
    ) {
        self.factory = factory
        self.store = store
    }

    func collect() {
        let (now, bytes) = store()
        // Counters take what was added since the last scrape; two scrapes at once must not add it twice.
        seen.withLock { seen in
            for reason in CacheMiss.allCases {
                let count = (now.misses[reason] ?? 0) - (seen.misses[reason] ?? 0)
                add("deltakv_cache_misses_total", Double(count), [("reason", reason.rawValue)])
            }
            add("deltakv_cache_hits_total", Double(now.hits - seen.hits))
            add("deltakv_cache_saved_seconds_total", now.secondsSaved - seen.secondsSaved)
            add("deltakv_cache_read_bytes_total", Double(now.bytesRead - seen.bytesRead))
            add("deltakv_cache_written_total", Double(now.written - seen.written))
            add("deltakv_cache_written_bytes_total", Double(now.bytesWritten - seen.bytesWritten))
            add("deltakv_cache_refused_total", Double(now.refused - seen.refused))
            for (reason, count) in [
                ("evicted", now.evicted - seen.evicted), ("expired", now.expired - seen.expired),
                ("orphaned", now.orphaned - seen.orphaned), ("damaged", now.damaged - seen.damaged),
            ] {
                add("deltakv_cache_removed_total", Double(count), [("reason", reason)])
            }
            seen = now
        }
        Gauge(label: "deltakv_cache_bytes", factory: factory).record(bytes)
    }

    private func add(_ name: String, _ amount: Double, _ dimensions: [(String, String)] = []) {
        FloatingPointCounter(label: name, dimensions: dimensions, factory: factory).increment(by: amount)
    }
}
