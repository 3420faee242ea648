// SPDX-License-Identifier: Apache-2.0

import CoreMetrics
import Monitoring
import Testing

@Suite struct PrometheusRegistryTests {
    @Test func everyKindIsWrittenAsTheFormatWants() async {
        let registry = PrometheusRegistry([
            MetricDescription("jobs_total", "Jobs, \\ of\nall kinds."),
            MetricDescription("wait_seconds", "Waits.", buckets: [0.5, 2]),
        ])
        Counter(label: "jobs_total", dimensions: [("state", "done")], factory: registry).increment(by: 3)
        Counter(label: "jobs_total", dimensions: [("state", "a \"bad\"\\\nname")], factory: registry).increment()
        FloatingPointCounter(label: "busy_seconds_total", factory: registry).increment(by: 0.25)
        Gauge(label: "depth", factory: registry).record(-2)
        for value in [0.5, 0.75, 100] {
            Recorder(label: "wait_seconds", aggregate: true, factory: registry).record(value)
        }
        #expect(
            await registry.text() == #"""
                # TYPE busy_seconds_total counter
                busy_seconds_total 0.25
                # TYPE depth gauge
                depth -2
                # HELP jobs_total Jobs, \\ of\nall kinds.
                # TYPE jobs_total counter
                jobs_total{state="a \"bad\"\\\nname"} 1
                jobs_total{state="done"} 3
                # HELP wait_seconds Waits.
                # TYPE wait_seconds histogram
                wait_seconds_bucket{le="0.5"} 1
                wait_seconds_bucket{le="2"} 2
                wait_seconds_bucket{le="+Inf"} 3
                wait_seconds_sum 101.25
                wait_seconds_count 3

                """#)
    }

    @Test func sameNameAndLabelsAreOneSeries() async {
        let registry = PrometheusRegistry()
        for _ in 0..<5 { Counter(label: "n_total", factory: registry).increment() }
        #expect(await registry.text() == "# TYPE n_total counter\nn_total 5\n")
    }

    @Test func aNameOfAnotherKindDoesNotSpoilTheText() async {
        let registry = PrometheusRegistry()
        Counter(label: "n", factory: registry).increment()
        Gauge(label: "n", factory: registry).record(9)
        #expect(await registry.text() == "# TYPE n counter\nn 1\n")
    }

    @Test func countersAddUpAcrossThreads() async {
        let registry = PrometheusRegistry()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<1000 { Counter(label: "n_total", factory: registry).increment() } }
            }
        }
        #expect(await registry.text().hasSuffix("n_total 8000\n"))
    }

    @Test func collectorsRunBeforeTheText() async {
        let registry = PrometheusRegistry()
        registry.beforeEachScrape { Gauge(label: "late", factory: registry).record(7) }
        #expect(await registry.text().contains("late 7\n"))
    }

    @Test func timersCountSeconds() async {
        let registry = PrometheusRegistry()
        Timer(label: "t_seconds", factory: registry).recordMilliseconds(1500)
        #expect(await registry.text().contains("t_seconds_sum 1.5\n"))
    }
}
