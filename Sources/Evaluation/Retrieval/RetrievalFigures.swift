// SPDX-License-Identifier: Apache-2.0

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
    public mutating func add(_ outcome: RetrievalMeasure.Outcome, of task: RetrievalTask, exact: RetrievalScore) {
        score.merge(outcome.scores[task] ?? .init())
        self.exact.merge(exact)
        bytes += outcome.bytes.memory
        exactBytes += outcome.exactBytes
    }

    /// Bytes in memory, of the f16 cache; contexts are shorter than histories of texts.
    public var kvRatio: Double { Double(bytes) / Double(exactBytes) }

    func encode(to container: inout KeyedEncodingContainer<FieldName>, name: String) throws {
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
struct FieldName: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}
