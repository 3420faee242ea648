// SPDX-License-Identifier: Apache-2.0

import CoreMetrics
import Engine
import Foundation
import Monitoring

/// Counts what becomes of jobs.
struct JobMetrics: Sendable {
    /// How a job left this daemon.
    enum End: String, CaseIterable {
        case completed, failed
        /// Handed back, because it was cancelled or the daemon stops.
        case released
        /// Somebody else has it: nothing was written.
        case fenced
    }

    static let descriptions = [
        MetricDescription("deltakv_build_info", "The program's version."),
        MetricDescription(
            "deltakv_requests_total",
            "Jobs that left this daemon: completed, failed, released (cancelled, handed back) or fenced (lease lost)."),
        MetricDescription("deltakv_request_errors_total", "Failed attempts by error code."),
        MetricDescription("deltakv_request_prompt_tokens", "Prompt tokens of completed jobs.", buckets: tokenBuckets),
        MetricDescription(
            "deltakv_cached_prompt_tokens_total", "Prompt tokens of completed jobs that came from a cache."),
        MetricDescription(
            "deltakv_request_generation_tokens", "Output tokens of completed jobs.", buckets: tokenBuckets),
        MetricDescription("deltakv_request_queue_seconds", "From a job's submission to its claim."),
        MetricDescription("deltakv_time_to_first_token_seconds", "From a job's claim to its first token."),
        MetricDescription("deltakv_request_seconds", "From a completed job's claim to its stored result."),
        MetricDescription("deltakv_lease_losses_total", "Jobs whose lease went to somebody else while they ran here."),
        MetricDescription("deltakv_jobs_rescued_total", "Jobs that this daemon took from daemons that had vanished."),
        MetricDescription("deltakv_database_failures_total", "Calls of the queue that failed and are tried again."),
    ]
    private static let tokenBuckets: [Double] = [16, 64, 256, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072]

    private let ends: [End: Counter]
    private let leaseLosses: Counter
    private let rescued: Counter
    private let databaseFailures: Counter
    private let promptTokens: Recorder
    private let cachedTokens: Counter
    private let outputTokens: Recorder
    private let queueSeconds: Recorder
    private let firstTokenSeconds: Recorder
    private let totalSeconds: Recorder
    private let factory: any MetricsFactory

    init(factory: any MetricsFactory) {
        func recorder(_ name: String) -> Recorder { Recorder(label: name, aggregate: true, factory: factory) }
        self.factory = factory
        ends = Dictionary(
            uniqueKeysWithValues: End.allCases.map {
                ($0, Counter(label: "deltakv_requests_total", dimensions: [("outcome", $0.rawValue)], factory: factory))
            })
        leaseLosses = Counter(label: "deltakv_lease_losses_total", factory: factory)
        rescued = Counter(label: "deltakv_jobs_rescued_total", factory: factory)
        databaseFailures = Counter(label: "deltakv_database_failures_total", factory: factory)
        promptTokens = recorder("deltakv_request_prompt_tokens")
        cachedTokens = Counter(label: "deltakv_cached_prompt_tokens_total", factory: factory)
        outputTokens = recorder("deltakv_request_generation_tokens")
        queueSeconds = recorder("deltakv_request_queue_seconds")
        firstTokenSeconds = recorder("deltakv_time_to_first_token_seconds")
        totalSeconds = recorder("deltakv_request_seconds")
    }

    func claimed(submittedAt: Date) { queueSeconds.record(max(0, Date.now.timeIntervalSince(submittedAt))) }
    func firstToken(after duration: Duration) { firstTokenSeconds.record(duration / .seconds(1)) }
    func ended(_ end: End) { ends[end]?.increment() }
    func leaseLost() { leaseLosses.increment() }
    func rescued(_ count: Int) { rescued.increment(by: count) }
    func databaseFailed() { databaseFailures.increment() }

    func completed(_ generation: Generation, after duration: Duration) {
        ended(.completed)
        promptTokens.record(generation.promptTokens)
        cachedTokens.increment(by: generation.cachedTokens)
        outputTokens.record(generation.outputTokens)
        totalSeconds.record(duration / .seconds(1))
    }

    func failed(code: String) {
        ended(.failed)
        Counter(label: "deltakv_request_errors_total", dimensions: [("code", code)], factory: factory).increment()
    }
}
