// SPDX-License-Identifier: Apache-2.0

/// Everything that is measured of policies in one run.
public struct Evaluation: Sendable {
    /// The texts to score.
    public let documents: [TextMeasure.Document]
    /// What is scored of each.
    public let measure: TextMeasure
    /// The contexts to ask about.
    public let contexts: [RetrievalTask: [RetrievalContext]]

    /// An evaluation.
    public init(
        documents: [TextMeasure.Document], measure: TextMeasure, contexts: [RetrievalTask: [RetrievalContext]] = [:]
    ) {
        self.documents = documents
        self.measure = measure
        self.contexts = contexts
    }

    /// How often `willRun` is called.
    public func passes(policies: Int) -> Int {
        documents.count * (1 + measure.histories.count * policies)
            + contexts.values.reduce(0) { $0 + $1.count } * (1 + policies)
    }

    /// Measures policies; each text and context is computed exactly once for all of them.
    ///
    /// - Parameter willRun: Called before each pass with what it is about.
    /// - Returns: A report for each policy.
    /// - Throws: ``EvaluationError``, `InferenceError`, `KernelError`, a policy's error.
    public func run(
        _ policies: [any CachePolicy], with runner: HistoryRunner, willRun: (String) -> Void = { _ in }
    ) throws -> [PolicyReport] {
        var outcomes: [[TextMeasure.Outcome]] = policies.map { _ in [] }
        for document in documents {
            let found = try measure.run(document, policies: policies, with: runner, willRun: willRun)
            for index in policies.indices { outcomes[index] += found[index] }
        }
        var answers: [[RetrievalTask: RetrievalFigures]] = policies.map { _ in [:] }
        for task in RetrievalTask.allCases {
            for context in contexts[task] ?? [] {
                let found = try RetrievalMeasure().run(context, policies: policies, with: runner, willRun: willRun)
                for index in policies.indices {
                    answers[index][task, default: .init()].add(found.outcomes[index], exact: found.exact)
                }
            }
        }
        return policies.indices.map { index in
            PolicyReport(
                policy: policies[index].name, documents: documents.map(\.name), outcomes: outcomes[index],
                retrieval: answers[index])
        }
    }
}
