// SPDX-License-Identifier: Apache-2.0

import CacheSamples
import CacheStore
import Engine
import Foundation
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
        load.suspensions = tokens / 4
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
            "deltakv_engine_sequence_steps_total 24", "deltakv_engine_suspensions_total 3", "deltakv_kv_used_bytes 64",
            "deltakv_requests_running 2",
            "deltakv_build_info{version=\"\(Version.current)\"} 1",
        ] {
            #expect(text.contains("\n\(line)\n"), "\(line)")
        }
    }

    @Test func scrapesSeeWhatTheCacheDid() async throws {
        let folder = NSTemporaryDirectory() + "deltakv-telemetry-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try CacheStore(directory: folder, settings: CacheSettings(freeFloor: 0))
        let document = SampleDocument(1), chain = document.chain(in: store), telemetry = Telemetry()
        let metrics = CacheMetrics(factory: telemetry.registry) { (store.statistics, store.bytes) }
        metrics.collect()
        for index in 0..<2 {
            _ = try store.publish(document.sections(index), at: index, of: chain, prefillSeconds: 0.5)
        }
        _ = store.load(chain)
        metrics.collect()
        _ = store.load(SampleDocument(2).chain(in: store))
        let file = URL(fileURLWithPath: "\(folder)/\(chain.keys[1]).chunk")
        var bytes = try Data(contentsOf: file)
        bytes[bytes.count - 5] ^= 1
        try bytes.write(to: file)
        _ = store.load(chain)
        metrics.collect()
        let text = await telemetry.registry.text()
        for line in [
            #"deltakv_cache_misses_total{reason="absent"} 2"#, #"deltakv_cache_misses_total{reason="checksum"} 1"#,
            #"deltakv_cache_misses_total{reason="salt"} 0"#, "deltakv_cache_hits_total 3",
            "deltakv_cache_saved_seconds_total 1.5", "deltakv_cache_written_total 2",
            #"deltakv_cache_removed_total{reason="damaged"} 1"#, "deltakv_cache_bytes \(store.bytes)",
        ] {
            #expect(text.contains("\n\(line)\n"), "\(line) in \(text)")
        }
    }

    @Test func everyMetricIsExplained() async {
        let telemetry = Telemetry()
        CacheMetrics(factory: telemetry.registry) { (CacheStatistics(), 0) }.collect()
        telemetry.jobs.failed(code: "invalid_options")
        EngineMetrics(factory: telemetry.registry) { EngineLoad() }.collect()
        let lines = await telemetry.registry.text().split(separator: "\n")
        let names = lines.filter { $0.hasPrefix("# TYPE ") }.map { $0.split(separator: " ")[2] }
        #expect(names.count > 15)
        for name in names { #expect(lines.contains { $0.hasPrefix("# HELP \(name) ") }, "\(name)") }
    }
}
