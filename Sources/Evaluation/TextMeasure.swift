// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// Perplexity, divergence and agreement of the tokens that follow a compressed history, against the exact history.
public struct TextMeasure: Sendable {
    /// A text, as tokens.
    public struct Document: Sendable {
        /// What it is called in messages.
        public let name: String
        /// Its tokens from the beginning.
        public let tokens: [Int32]

        /// A text.
        public init(name: String, tokens: [Int32]) {
            self.name = name
            self.tokens = tokens
        }
    }

    /// One policy on one history.
    public struct Outcome: Sendable {
        /// Tokens of the history.
        public let history: Int
        /// What the policy keeps of it.
        public let bytes: CacheBytes
        /// Bytes of the history in f16.
        public let exactBytes: Int
        /// How far the scored tokens are from exact.
        public let divergence: Divergence
    }

    /// Tokens of the histories.
    public let histories: [Int]
    /// Tokens scored after each.
    public let score: Int

    /// A measure.
    public init(histories: [Int], score: Int) {
        self.histories = histories
        self.score = score
    }

    /// Tokens that a text needs.
    public var neededTokens: Int { (histories.max() ?? 0) + score + 1 }

    /// Measures policies on a text: one exact pass, then for each history and policy one over the scored tokens.
    ///
    /// - Parameters:
    ///   - willRun: Called before each pass with what it is about.
    /// - Returns: For each policy an outcome for each history.
    /// - Throws: ``EvaluationError`` if the text or the context is too short, `InferenceError`, a policy's error.
    public func run(
        _ document: Document, policies: [any CachePolicy], with runner: HistoryRunner, willRun: (String) -> Void
    ) throws -> [[Outcome]] {
        try check(document, limit: runner.model.configuration.contextLength)
        willRun("\(document.name), exact")
        let recorder = try HistoryRecorder(shape: runner.shape, ends: histories)
        let exact = try exactScores(document, runner, recorder)
        var outcomes: [[Outcome]] = policies.map { _ in [] }
        for (index, tokens) in histories.enumerated() {
            let history = recorder.history(of: document.tokens[..<tokens])
            for (number, policy) in policies.enumerated() {
                willRun("\(document.name), \(tokens) tokens, \(policy.name)")
                let compressed = try policy.compress(history)
                try runner.install(compressed, of: history)
                let divergence = try divergence(document, history: tokens, exact: exact[index], runner)
                outcomes[number].append(
                    Outcome(
                        history: tokens, bytes: compressed.bytes, exactBytes: history.exactBytes, divergence: divergence
                    ))
            }
        }
        return outcomes
    }

    private func check(_ document: Document, limit: Int) throws(EvaluationError) {
        guard neededTokens - 1 <= limit else { throw .contextTooShort(needed: neededTokens - 1, limit: limit) }
        guard document.tokens.count >= neededTokens else {
            throw .textTooShort(name: document.name, tokens: document.tokens.count, needed: neededTokens)
        }
    }

    /// For each history the log-probabilities after each scored token, `[score][vocabulary]`.
    private func exactScores(
        _ document: Document, _ runner: HistoryRunner, _ recorder: HistoryRecorder
    ) throws -> [LogProbabilities] {
        let tables = try histories.map { _ in
            try LogProbabilities(rows: score, vocabulary: runner.model.configuration.vocabulary)
        }
        let ranges = histories.map { $0..<$0 + score }
        try runner.prefill(document.tokens[..<(neededTokens - 1)], recorder: recorder, scored: ranges) {
            position, logits in
            for (range, table) in zip(ranges, tables) where range.contains(position) {
                Divergence.logProbabilities(logits, to: table.values[row: position - range.lowerBound])
            }
        }
        return tables
    }

    private func divergence(
        _ document: Document, history: Int, exact: LogProbabilities, _ runner: HistoryRunner
    ) throws -> Divergence {
        var sum = Divergence()
        try runner.score(document.tokens[history..<history + score], position: history) { position, logits in
            sum.add(
                logits: logits, exact: UnsafeBufferPointer(exact.values[row: position - history]),
                target: document.tokens[position + 1])
        }
        return sum
    }
}

/// Rows of log-probabilities and the memory they lie in.
private struct LogProbabilities {
    let values: Matrix
    private let memory: ReservedMemory

    init(rows: Int, vocabulary: Int) throws(KernelError) {
        memory = try ReservedMemory(count: rows * vocabulary * 4)
        values = Matrix(memory.floats(), rows: rows, columns: vocabulary)
    }
}
