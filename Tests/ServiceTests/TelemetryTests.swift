// SPDX-License-Identifier: Apache-2.0

import Engine
import JobQueue
import Monitoring
import Synchronization
import Testing

@testable import Service

@Suite struct TelemetryTests {
    private func load(_ tokens: Int) -> EngineLoad {
        var load = EngineLoad()
        load.running = 2
        load.kvUsedBytes = 64
        load.kvBytes = 640
        load.promptTokens = 100 * tokens
        load.outputTokens = tokens
        load.prefillSeconds = Double(tokens) / 4
        load.decodeSeconds = Double(tokens) / 8
        load.steps = tokens
        load.sequenceSteps = 2 * tokens
        return load
    }

    @Test func reportsAreAboutTheTimeSinceTheLast() {
        let start = ContinuousClock.now
        var reporter = LoadReporter(load(8), at: start)
        let first = reporter.report(load(16), residentBytes: 7, at: start + .seconds(10))
        #expect(
            first
                == WorkerLoad(
                    seconds: 10, running: 2, kvUsedBytes: 64, kvBytes: 640, residentBytes: 7, promptTokens: 800,
                    outputTokens: 8, prefillSeconds: 2, decodeSeconds: 1, steps: 8, sequenceSteps: 16))
        let idle = reporter.report(load(16), residentBytes: 7, at: start + .seconds(30))
        #expect(idle.seconds == 20 && idle.promptTokens == 0 && idle.steps == 0 && idle.running == 2)
        // The database refuses a report about no time at all.
        #expect(reporter.report(load(16), residentBytes: 7, at: start + .seconds(30)).seconds > 0)
    }

    @Test func scrapesSeeTotalsHoweverOftenTheyCome() async {
        let telemetry = Telemetry(), engine = Mutex(load(8))
        let metrics = EngineMetrics(factory: telemetry.registry) { engine.withLock { $0 } }
        metrics.collect()
        metrics.collect()
        engine.withLock { $0 = load(12) }
        metrics.collect()
        let text = await telemetry.registry.text()
        for line in [
            "deltakv_prompt_tokens_total 1200", "deltakv_generation_tokens_total 12", "deltakv_prefill_seconds_total 3",
            "deltakv_engine_sequence_steps_total 24", "deltakv_kv_used_bytes 64", "deltakv_requests_running 2",
            "deltakv_build_info{version=\"\(Version.current)\"} 1",
        ] {
            #expect(text.contains("\n\(line)\n"), "\(line)")
        }
    }

    @Test func everyMetricIsExplained() async {
        let telemetry = Telemetry()
        telemetry.jobs.failed(code: "invalid_options")
        EngineMetrics(factory: telemetry.registry) { EngineLoad() }.collect()
        let lines = await telemetry.registry.text().split(separator: "\n")
        let names = lines.filter { $0.hasPrefix("# TYPE ") }.map { $0.split(separator: " ")[2] }
        #expect(names.count > 15)
        for name in names { #expect(lines.contains { $0.hasPrefix("# HELP \(name) ") }, "\(name)") }
    }
}
