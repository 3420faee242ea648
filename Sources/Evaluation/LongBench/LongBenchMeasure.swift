// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels
import Tokenization

/// Scores answers to LongBench records over exact and compressed contexts, decoded greedily.
public struct LongBenchMeasure: Sendable {
    /// Mean scores of one policy on one data set.
    public struct Outcome: Encodable, Sendable, Equatable {
        /// Sum of scores under the policy, each from 0 to 1.
        public private(set) var sum = 0.0
        /// Sum of scores with the exact context.
        public private(set) var exactSum = 0.0
        /// Records.
        public private(set) var records = 0

        /// Mean score under the policy.
        public var score: Double { sum / Double(records) }
        /// Mean score with the exact context.
        public var exact: Double { exactSum / Double(records) }

        /// Adds a record's scores.
        mutating func add(_ score: Double, exact: Double) {
            sum += score
            exactSum += exact
            records += 1
        }

        enum CodingKeys: CodingKey { case score, exact, records }

        /// Writes the means.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(score, forKey: .score)
            try container.encode(exact, forKey: .exact)
            try container.encode(records, forKey: .records)
        }
    }

    private let tokenizer: Tokenizer
    private let template: ChatTemplate

    /// A measure for a model's texts.
    public init(tokenizer: Tokenizer, template: ChatTemplate) {
        self.tokenizer = tokenizer
        self.template = template
    }

    /// Answers a record's question over the exact context and over what each policy leaves of it.
    ///
    /// - Parameter willRun: Called before each answer with what it is about.
    /// - Returns: The exact answer's score, and each policy's.
    /// - Throws: ``EvaluationError``, `TokenizerError`, `InferenceError`, a policy's error.
    public func run(
        _ record: LongBenchRecord, policies: [any CachePolicy], with runner: HistoryRunner, willRun: (String) -> Void
    ) throws -> (exact: Double, scores: [Double]) {
        let task = LongBenchTask(dataset: record.dataset)
        let limit = runner.model.configuration.contextLength - task.maxTokens
        let prompt = try LongBenchPrompt(record, task: task, tokenizer: tokenizer, template: template, limit: limit)
        func answer() throws -> Double {
            let tokens = try runner.greedy(
                after: prompt.question[...], position: prompt.history.count, maxTokens: task.maxTokens,
                ends: tokenizer.endOfGeneration)
            return task.score(tokenizer.decode(tokens), of: record)
        }
        willRun("\(record.dataset), exact")
        let recorder = try HistoryRecorder(shape: runner.shape, ends: [prompt.history.count])
        try runner.prefill(prompt.history[...], recorder: recorder)
        let history = recorder.history(of: prompt.history[...])
        let exact = try answer()
        let scores = try policies.map { policy in
            willRun("\(record.dataset), \(policy.name)")
            try runner.install(policy.compress(history), of: history)
            return try answer()
        }
        return (exact, scores)
    }
}

extension HistoryRunner {
    /// Tokens that the model writes after a prompt, always the likeliest, without the one that ends them.
    func greedy(after prompt: ArraySlice<Int32>, position: Int, maxTokens: Int, ends: Set<Int32>) throws -> [Int32] {
        var tokens: [Int32] = [], next: Int32 = 0
        func choose(_: Int, _ logits: UnsafeBufferPointer<Float>) {
            var best = 0
            for i in logits.indices where logits[i] > logits[best] { best = i }
            next = Int32(best)
        }
        try score(prompt, position: position, logits: choose)
        while tokens.count < maxTokens, !ends.contains(next) {
            tokens.append(next)
            guard tokens.count < maxTokens else { break }
            try score([next], position: position + prompt.count + tokens.count - 1, logits: choose)
        }
        return tokens
    }
}
