// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// How many answers are right, and how likely the right answers are.
public struct RetrievalScore: Sendable, Equatable {
    /// Questions asked.
    public private(set) var questions = 0
    /// Questions whose right answer is, token for token, the likeliest continuation: what greedy decoding would write.
    public private(set) var right = 0
    private var logLikelihoods = 0.0
    private var squares = 0.0

    /// Nothing asked yet.
    public init() {}

    /// Adds a question.
    public mutating func add(isRight: Bool, logLikelihood: Double) {
        questions += 1
        right += isRight ? 1 : 0
        logLikelihoods += logLikelihood
        squares += logLikelihood * logLikelihood
    }

    /// Adds another score's questions.
    public mutating func merge(_ other: RetrievalScore) {
        questions += other.questions
        right += other.right
        logLikelihoods += other.logLikelihoods
        squares += other.squares
    }

    /// Share of right answers.
    public var share: Double { Double(right) / Double(questions) }
    /// Standard error of ``share``.
    public var shareError: Double { (share * (1 - share) / Double(questions)).squareRoot() }
    /// Mean over questions of the logarithm of the whole right answer's probability, nats.
    public var logLikelihood: Double { logLikelihoods / Double(questions) }
    /// Standard error of ``logLikelihood``.
    public var logLikelihoodError: Double {
        (max(0, squares / Double(questions) - logLikelihood * logLikelihood) / Double(questions)).squareRoot()
    }
}

/// Asks questions about a context: over the exact history, then over what policies leave of it.
public struct RetrievalMeasure {
    /// Bytes and score of one policy on one context.
    public struct Outcome: Sendable {
        /// What the policy keeps.
        public let bytes: CacheBytes
        /// Bytes in f16.
        public let exactBytes: Int
        /// The answers.
        public let scores: [RetrievalTask: RetrievalScore]
    }

    /// A measure.
    public init() {}

    /// Asks all questions of a context, which is computed once.
    ///
    /// - Parameter willRun: Called before each pass with what it is about.
    /// - Returns: The exact scores, and an outcome for each policy.
    /// - Throws: `InferenceError`, a policy's error.
    public func run(
        _ context: RetrievalContext, policies: [any CachePolicy], with runner: HistoryRunner, willRun: (String) -> Void
    ) throws -> (exact: [RetrievalTask: RetrievalScore], outcomes: [Outcome]) {
        willRun("retrieval, \(context.tokens.count) tokens, exact")
        let recorder = try HistoryRecorder(shape: runner.shape, ends: [context.tokens.count])
        try runner.prefill(context.tokens[...], recorder: recorder)
        let history = recorder.history(of: context.tokens[...])
        let exact = try ask(context.questions, after: history, runner)
        let outcomes = try policies.map { policy in
            willRun("retrieval, \(context.tokens.count) tokens, \(policy.name)")
            let compressed = try policy.compress(history)
            try runner.install(compressed, of: history)
            return Outcome(
                bytes: compressed.bytes, exactBytes: history.exactBytes,
                scores: try ask(context.questions, after: history, runner))
        }
        return (exact, outcomes)
    }

    private func ask(
        _ questions: [RetrievalContext.Question], after history: History, _ runner: HistoryRunner
    ) throws -> [RetrievalTask: RetrievalScore] {
        var logLikelihoods = questions.map { _ in 0.0 }, isRight = questions.map { _ in true }
        try runner.scoreApart(questions.map { $0.tokens.dropLast() }, position: history.count) { index, token, logits in
            guard questions[index].isAnswer[token + 1] else { return }
            let answer = Int(questions[index].tokens[token + 1])
            logLikelihoods[index] += Double(logits[answer]) - Divergence.logSum(logits)
            if logits.contains(where: { $0 > logits[answer] }) { isRight[index] = false }
        }
        var scores: [RetrievalTask: RetrievalScore] = [:]
        for index in questions.indices {
            scores[questions[index].task, default: .init()].add(
                isRight: isRight[index], logLikelihood: logLikelihoods[index])
        }
        return scores
    }
}
