// SPDX-License-Identifier: Apache-2.0

/// What a metric is called and means, as a scrape shows it.
public struct MetricDescription: Sendable {
    /// The name, with its unit at the end, as Prometheus wants it: `deltakv_prompt_tokens_total`.
    public let name: String
    /// One line that explains it.
    public let help: String
    /// For recorders that aggregate: upper bounds of the histogram's buckets, ascending.
    public let buckets: [Double]

    /// Describes a metric.
    public init(_ name: String, _ help: String, buckets: [Double] = MetricDescription.secondBuckets) {
        self.name = name
        self.help = help
        self.buckets = buckets
    }

    /// From a hundredth of a second to an hour: a long prompt on a CPU takes minutes.
    public static let secondBuckets: [Double] = [
        0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600,
    ]
}
