// SPDX-License-Identifier: Apache-2.0

/// Everything that is measured of policies in one run.
public struct Evaluation: Sendable {
    /// The texts to score.
    public let documents: [TextMeasure.Document]
    /// What is scored of each.
    public let measure: TextMeasure
    /// The contexts to ask about.
    public let contexts: [RetrievalContext]

    /// Records of LongBench files.
    public let records: [LongBenchRecord]
    /// How they are answered.
    public let longBench: LongBenchMeasure

    /// An evaluation.
    public init(
        documents: [TextMeasure.Document], measure: TextMeasure, contexts: [RetrievalContext] = [],
        records: [LongBenchRecord] = [], longBench: LongBenchMeasure
    ) {
        self.documents = documents
        self.measure = measure
        self.contexts = contexts
        self.records = records
        self.longBench = longBench
    }

    /// How often `willRun` is called.
    public func passes(policies: Int) -> Int {
        documents.count * (1 + measure.histories.count * policies)
            + (contexts.count + records.count) * (1 + policies)
    }

    /// Measures policies; each text and context is computed exactly once for all of them.
    ///
    /// - Parameter willRun: Called before each pass with what it is about.
    /// - Returns: A report for each policy.
    /// - Throws: ``EvaluationError``, `InferenceError`, `KernelError`, a policy's error.
    public func run(
        _ policies: [any CachePolicy], with runner: HistoryRunner, willRun: (String) -> Void = { _ in }
    ) throws -> [PolicyReport] {
        var reports = policies.map { PolicyReport.Parts(policy: $0.name, documents: documents.map(\.name)) }
        for document in documents {
            let found = try measure.run(document, policies: policies, with: runner, willRun: willRun)
            for index in policies.indices { reports[index].outcomes += found[index] }
        }
        for context in contexts {
            let found = try RetrievalMeasure().run(context, policies: policies, with: runner, willRun: willRun)
            for index in policies.indices {
                for (task, exact) in found.exact {
                    reports[index].retrieval[task, default: .init()].add(found.outcomes[index], of: task, exact: exact)
                }
            }
        }
        for record in records {
            let found = try longBench.run(record, policies: policies, with: runner, willRun: willRun)
            for index in policies.indices {
                reports[index].longBench[record.dataset, default: .init()].add(found.scores[index], exact: found.exact)
            }
        }
        return reports.map(PolicyReport.init)
    }
}
