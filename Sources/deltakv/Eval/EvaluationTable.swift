// SPDX-License-Identifier: Apache-2.0

import Evaluation
import Foundation

/// The reports as a table to read.
struct EvaluationTable {
    let reports: [PolicyReport]

    var text: String {
        guard let first = reports.first else { return "" }
        let header = ["policy", "history", "memory", "disk", "perplexity", "(exact)", "KL", "± s.e.", "same top-1"]
        let rows = reports.flatMap { report in report.byHistory.map { row(report.policy, $0) } }
        let texts = "Texts: \(first.documents.joined(separator: ", "))\n" + Self.aligned([header] + rows)
        return texts + RetrievalTask.allCases.map { answers($0) }.joined() + longBench(first)
    }

    private func longBench(_ first: PolicyReport) -> String {
        guard !first.longBench.isEmpty else { return "" }
        let sets = first.longBench.keys.sorted()
        func row(_ name: String, _ value: (LongBenchMeasure.Outcome) -> Double, of report: PolicyReport) -> [String] {
            [name] + sets.map { set in report.longBench[set].map { fixed(value($0) * 100, 2) } ?? "" }
        }
        let rows = [row("exact", \.exact, of: first)] + reports.map { row($0.policy, \.score, of: $0) }
        return "\nLongBench\n" + Self.aligned([["policy"] + sets] + rows)
    }

    private func answers(_ task: RetrievalTask) -> String {
        let rows = reports.compactMap { report in
            report.retrieval[task].map { figures in
                [
                    report.policy, percent(figures.kvRatio), percent(figures.score.share),
                    percent(figures.score.shareError),
                    percent(figures.exact.share), fixed(figures.score.logLikelihood, 3),
                    fixed(figures.score.logLikelihoodError, 3), fixed(figures.exact.logLikelihood, 3),
                ]
            }
        }
        guard let questions = reports.first?.retrieval[task]?.score.questions else { return "" }
        let title = task == .lookup ? "Hidden keys" : "Chains of two links"
        let header = ["policy", "memory", "right", "± s.e.", "(exact)", "log-likelihood", "± s.e.", "(exact)"]
        return "\n\(title), \(questions) questions\n" + Self.aligned([header] + rows)
    }

    private func row(_ policy: String, _ report: PolicyReport.HistoryReport) -> [String] {
        let figures = report.figures, divergence = figures.divergence
        return [
            policy, "\(report.history)", percent(figures.kvRatio), percent(figures.kvRatioDisk),
            fixed(divergence.perplexity, 3), fixed(divergence.exactPerplexity, 3), fixed(divergence.mean, 5),
            fixed(divergence.standardError, 5), fixed(divergence.agreement, 4),
        ]
    }

    /// Columns side by side, the first to the left and the others to the right.
    static func aligned(_ rows: [[String]]) -> String {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            zip(row, widths).enumerated().map { column, cell in
                let space = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 ? cell.0 + space : space + cell.0
            }.joined(separator: "  ") + "\n"
        }.joined()
    }

    private func percent(_ ratio: Double) -> String { fixed(ratio * 100, 1) + " %" }

    private func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
}
