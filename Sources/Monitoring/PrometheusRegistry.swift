// SPDX-License-Identifier: Apache-2.0

import CoreMetrics
import Synchronization

/// Keeps metrics made through swift-metrics and writes them in Prometheus' text format.
///
/// Names are taken as they are; labels are the dimensions. The format is version 0.0.4
/// (https://prometheus.io/docs/instrumenting/exposition_formats/).
public final class PrometheusRegistry: MetricsFactory {
    private enum Kind: String {
        case counter, gauge, histogram
    }

    private struct Family {
        let kind: Kind
        var series: [String: any MetricSeries] = [:]
    }

    /// The media type of ``text()``.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private let descriptions: [String: MetricDescription]
    private let families = Mutex<[String: Family]>([:])
    private let collectors = Mutex<[@Sendable () async -> Void]>([])

    /// A registry without series; what is described gets help lines and buckets.
    public init(_ descriptions: [MetricDescription] = []) {
        self.descriptions = Dictionary(descriptions.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// Has `collect` called before each scrape, to set what is cheaper to look up than to keep.
    public func beforeEachScrape(_ collect: @escaping @Sendable () async -> Void) {
        collectors.withLock { $0.append(collect) }
    }

    /// All metrics, sorted by name.
    public func text() async -> String {
        for collect in collectors.withLock({ $0 }) { await collect() }
        let families = families.withLock { $0.sorted { $0.key < $1.key } }
        var text = ""
        for (name, family) in families {
            if let help = descriptions[name]?.help { text += "# HELP \(name) \(help.escapedHelp)\n" }
            text += "# TYPE \(name) \(family.kind.rawValue)\n"
            for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
                series.write(name: name, labels: labels, to: &text)
            }
        }
        return text
    }

    /// The series of these labels, made if there is none. A name that was used for another kind gets a series that is in no
    /// scrape: two kinds under one name would spoil the whole text.
    private func series<Series: MetricSeries>(
        _ name: String, _ kind: Kind, _ dimensions: [(String, String)], make: () -> Series
    ) -> Series {
        let labels = dimensions.map { "\($0)=\"\($1.escapedLabel)\"" }.joined(separator: ",")
        return families.withLock { families in
            guard families[name, default: Family(kind: kind)].kind == kind else { return make() }
            if let known = families[name]?.series[labels] as? Series { return known }
            let new = make()
            families[name, default: Family(kind: kind)].series[labels] = new
            return new
        }
    }

    private func histogram(_ name: String, _ dimensions: [(String, String)]) -> HistogramSeries {
        series(name, .histogram, dimensions) {
            HistogramSeries(bounds: descriptions[name]?.buckets ?? MetricDescription.secondBuckets)
        }
    }
}

extension PrometheusRegistry {
    /// A counter, shared by all who ask for the same name and labels.
    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, .counter, dimensions) { CounterSeries() }
    }

    /// A counter of fractions, shared likewise.
    public func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        series(label, .counter, dimensions) { CounterSeries() }
    }

    /// A gauge, shared likewise.
    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, .gauge, dimensions) { GaugeSeries() }
    }

    /// A histogram where `aggregate` is set, else a gauge; shared likewise.
    public func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        aggregate ? histogram(label, dimensions) : series(label, .gauge, dimensions) { GaugeSeries() }
    }

    /// A histogram of seconds, shared likewise.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        histogram(label, dimensions)
    }

    // Series live as long as the registry: a counter that vanishes and starts again would look like a restart.
    /// Does nothing.
    public func destroyCounter(_ handler: any CounterHandler) {}
    /// Does nothing.
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    /// Does nothing.
    public func destroyMeter(_ handler: any MeterHandler) {}
    /// Does nothing.
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    /// Does nothing.
    public func destroyTimer(_ handler: any TimerHandler) {}
}

extension String {
    fileprivate var escapedHelp: String { replacing("\\", with: "\\\\").replacing("\n", with: "\\n") }
    fileprivate var escapedLabel: String { escapedHelp.replacing("\"", with: "\\\"") }
}
