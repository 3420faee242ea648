// SPDX-License-Identifier: Apache-2.0

import CoreMetrics
import Engine
import Monitoring
import Synchronization

/// Brings the engine's figures and the process's into the registry before each scrape.
final class EngineMetrics: Sendable {
    static let descriptions = [
        MetricDescription(
            "deltakv_prompt_tokens_total",
            "Prompt tokens computed, and output tokens computed again after an interruption; cached ones are not among them."
        ),
        MetricDescription("deltakv_generation_tokens_total", "Tokens generated."),
        MetricDescription("deltakv_prefill_seconds_total", "Engine time that went into these, by rows of the batch."),
        MetricDescription("deltakv_decode_seconds_total", "Engine time that went into output, by rows of the batch."),
        MetricDescription("deltakv_engine_steps_total", "Steps of the engine."),
        MetricDescription(
            "deltakv_engine_sequence_steps_total",
            "The sum over all steps of the sequences in each; its rate over that of the steps is the mean batch size."),
        MetricDescription(
            "deltakv_engine_suspensions_total", "Times that a running sequence made room for others, to go on later."),
        MetricDescription("deltakv_requests_running", "Sequences in the batch."),
        MetricDescription(
            "deltakv_kv_used_bytes",
            "Bytes of keys and values in use: by sequences, and by segments of prompts that make way when room is needed."
        ),
        MetricDescription("deltakv_kv_bytes", "Bytes that there are for keys and values."),
        MetricDescription("process_resident_memory_bytes", "Memory in use."),
        MetricDescription("process_cpu_seconds_total", "Processor time used."),
        MetricDescription("process_open_fds", "Open file descriptors."),
    ]

    private struct Seen {
        var load = EngineLoad()
        var cpuSeconds = 0.0
    }

    private let factory: any MetricsFactory
    private let seen = Mutex(Seen())
    private let load: @Sendable () -> EngineLoad

    init(factory: any MetricsFactory, load: @escaping @Sendable () -> EngineLoad) {
        self.factory = factory
        self.load = load
    }

    func collect() {
        let load = load(), process = ProcessStatistics.current()
        // Counters take what was added since the last scrape; two scrapes at once must not add it twice.
        seen.withLock { seen in
            count("deltakv_prompt_tokens_total", Double(load.promptTokens - seen.load.promptTokens))
            count("deltakv_generation_tokens_total", Double(load.outputTokens - seen.load.outputTokens))
            count("deltakv_prefill_seconds_total", load.prefillSeconds - seen.load.prefillSeconds)
            count("deltakv_decode_seconds_total", load.decodeSeconds - seen.load.decodeSeconds)
            count("deltakv_engine_steps_total", Double(load.steps - seen.load.steps))
            count("deltakv_engine_sequence_steps_total", Double(load.sequenceSteps - seen.load.sequenceSteps))
            count("deltakv_engine_suspensions_total", Double(load.suspensions - seen.load.suspensions))
            count("process_cpu_seconds_total", process.cpuSeconds - seen.cpuSeconds)
            seen = Seen(load: load, cpuSeconds: process.cpuSeconds)
        }
        show("deltakv_requests_running", load.running)
        show("deltakv_kv_used_bytes", load.kvUsedBytes)
        show("deltakv_kv_bytes", load.kvBytes)
        show("process_resident_memory_bytes", process.residentBytes)
        show("process_open_fds", process.openFiles)
    }

    private func count(_ name: String, _ amount: Double) {
        FloatingPointCounter(label: name, factory: factory).increment(by: amount)
    }

    private func show(_ name: String, _ value: Int) { Gauge(label: name, factory: factory).record(value) }
}
