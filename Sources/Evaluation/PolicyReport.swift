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

    /// Puts a policy's outcomes, of all texts and histories, together.
    public init(
        policy: String, documents: [String], outcomes: [TextMeasure.Outcome],
        retrieval: [RetrievalTask: RetrievalFigures] = [:]
    ) {
        self.policy = policy
        self.retrieval = retrieval
        self.documents = documents
        history = Set(outcomes.map(\.history)).sorted()
        figures = TextFigures(outcomes)
        byHistory = history.map { tokens in
            HistoryReport(history: tokens, figures: TextFigures(outcomes.filter { $0.history == tokens }))
        }
    }

    enum CodingKeys: String, CodingKey {
        case policy, documents, history
        case byHistory = "by_history"
    }

    /// Writes all figures side by side.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(policy, forKey: .policy)
        try container.encode(documents, forKey: .documents)
        try container.encode(history, forKey: .history)
        try container.encode(byHistory, forKey: .byHistory)
        try figures.encode(to: encoder)
        var answers = encoder.container(keyedBy: FieldName.self)
        for (task, name) in [(RetrievalTask.lookup, "retrieval"), (.tracing, "tracing")] {
            guard let figures = retrieval[task] else { continue }
            try figures.encode(to: &answers, name: name)
        }
    }
}

/// A policy's answers beside the exact ones.
public struct RetrievalFigures: Sendable {
    /// Under the policy.
    public private(set) var score = RetrievalScore()
    /// With the exact history.
    public private(set) var exact = RetrievalScore()
    private var bytes = 0
    private var exactBytes = 0

    /// No answers yet.
    public init() {}

    /// Adds a context's answers.
    public mutating func add(_ outcome: RetrievalMeasure.Outcome, exact: RetrievalScore) {
        score.merge(outcome.score)
        self.exact.merge(exact)
        bytes += outcome.bytes.memory
        exactBytes += outcome.exactBytes
    }

    /// Bytes in memory, of the f16 cache; contexts are shorter than histories of texts.
    public var kvRatio: Double { Double(bytes) / Double(exactBytes) }

    fileprivate func encode(to container: inout KeyedEncodingContainer<FieldName>, name: String) throws {
        func put(_ value: Double, _ suffix: String) throws {
            try container.encode(value, forKey: FieldName(stringValue: name + suffix))
        }
        try put(score.share, "")
        try put(exact.share, "_exact")
        try put(score.shareError, "_stderr")
        try put(score.logLikelihood, "_loglik")
        try put(exact.logLikelihood, "_loglik_exact")
        try put(score.logLikelihoodError, "_loglik_stderr")
        try put(kvRatio, "_kv_ratio")
        try container.encode(score.questions, forKey: FieldName(stringValue: name + "_questions"))
    }
}

/// A field whose name is put together.
private struct FieldName: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
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
