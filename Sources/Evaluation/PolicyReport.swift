// SPDX-License-Identifier: Apache-2.0

/// What was measured of one policy, as `deltakv eval --json` prints it.
public struct PolicyReport: Encodable, Sendable {
    /// One history length.
    public struct HistoryReport: Encodable, Sendable {
        /// Tokens of the history.
        public let history: Int
        /// The figures over all texts.
        public let figures: TextFigures

        enum CodingKeys: CodingKey { case history }

        /// Writes the length and the figures side by side.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(history, forKey: .history)
            try figures.encode(to: encoder)
        }
    }

    /// What a report is made of.
    struct Parts {
        let policy: String
        let documents: [String]
        var outcomes: [TextMeasure.Outcome] = []
        var retrieval: [RetrievalTask: RetrievalFigures] = [:]
        var longBench: [String: LongBenchMeasure.Outcome] = [:]
    }

    /// The policy.
    public let policy: String
    /// The texts that were scored.
    public let documents: [String]
    /// Lengths of the histories.
    public let history: [Int]
    /// Over all histories and texts.
    public let figures: TextFigures
    /// By length of the history.
    public let byHistory: [HistoryReport]
    /// Answers, by task; empty where no questions were asked.
    public let retrieval: [RetrievalTask: RetrievalFigures]
    /// Scores by data set, where there were files.
    public let longBench: [String: LongBenchMeasure.Outcome]

    init(_ parts: Parts) {
        policy = parts.policy
        documents = parts.documents
        retrieval = parts.retrieval
        longBench = parts.longBench
        history = Set(parts.outcomes.map(\.history)).sorted()
        figures = TextFigures(parts.outcomes)
        byHistory = history.map { tokens in
            HistoryReport(history: tokens, figures: TextFigures(parts.outcomes.filter { $0.history == tokens }))
        }
    }

    enum CodingKeys: String, CodingKey {
        case policy, documents, history
        case longBench = "longbench"
        case byHistory = "by_history"
    }

    /// Writes all figures side by side.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(policy, forKey: .policy)
        try container.encode(documents, forKey: .documents)
        try container.encode(history, forKey: .history)
        try container.encode(byHistory, forKey: .byHistory)
        if !longBench.isEmpty { try container.encode(longBench, forKey: .longBench) }
        try figures.encode(to: encoder)
        var answers = encoder.container(keyedBy: FieldName.self)
        for (task, name) in [(RetrievalTask.lookup, "retrieval"), (.tracing, "tracing")] {
            guard let figures = retrieval[task] else { continue }
            try figures.encode(to: &answers, name: name)
        }
    }
}

/// Sizes and divergence over several texts or histories.
public struct TextFigures: Encodable, Sendable {
    /// Bytes in memory, of the f16 cache.
    public let kvRatio: Double
    /// Bytes in a file, of the f16 cache.
    public let kvRatioDisk: Double
    /// How far the scored tokens are from exact.
    public let divergence: Divergence

    /// The figures of some outcomes together.
    public init(_ outcomes: [TextMeasure.Outcome]) {
        let exact = Double(outcomes.reduce(0) { $0 + $1.exactBytes })
        kvRatio = Double(outcomes.reduce(0) { $0 + $1.bytes.memory }) / exact
        kvRatioDisk = Double(outcomes.reduce(0) { $0 + $1.bytes.disk }) / exact
        divergence = outcomes.reduce(into: Divergence()) { $0.merge($1.divergence) }
    }

    enum CodingKeys: String, CodingKey {
        case tokens, ppl, kl
        case kvRatio = "kv_ratio"
        case kvRatioDisk = "kv_ratio_disk"
        case exactPPL = "ppl_exact"
        case standardError = "kl_stderr"
        case agreement = "top1_agreement"
    }

    /// Writes all figures side by side.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(kvRatio, forKey: .kvRatio)
        try container.encode(kvRatioDisk, forKey: .kvRatioDisk)
        try container.encode(divergence.tokens, forKey: .tokens)
        try container.encode(divergence.perplexity, forKey: .ppl)
        try container.encode(divergence.exactPerplexity, forKey: .exactPPL)
        try container.encode(divergence.mean, forKey: .kl)
        try container.encode(divergence.standardError, forKey: .standardError)
        try container.encode(divergence.agreement, forKey: .agreement)
    }
}
