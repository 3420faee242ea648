// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Evaluation

@Suite struct LongBenchTests {
    private func record(_ fields: [String: Any]) throws -> LongBenchRecord {
        let line = try JSONSerialization.data(withJSONObject: fields)
        return try #require(LongBenchRecord.read(line, name: "test").first)
    }

    @Test func linesAreRead() throws {
        let text = """
            {"input": "Who?", "context": "Ann did.", "answers": ["Ann"], "length": 2, "dataset": "qasper", "language": "en", "all_classes": null, "_id": "1"}

            {"input": "", "context": "x", "answers": ["A", "B"], "dataset": "trec", "all_classes": ["A", "B"]}
            """
        let records = try LongBenchRecord.read(Data(text.utf8), name: "test")
        #expect(records.map(\.dataset) == ["qasper", "trec"])
        #expect(records[0].classes.isEmpty && records[1].classes == ["A", "B"])
    }

    @Test(arguments: [
        "{", "[]", #"{"context": "x", "answers": ["y"]}"#, #"{"context": "x", "answers": [], "dataset": "d"}"#,
        #"{"context": "", "answers": ["y"], "dataset": "d"}"#, #"{"context": 3, "answers": ["y"], "dataset": "d"}"#,
        "\u{FF}",
    ])
    func badLinesAreNamed(line: String) {
        let good = #"{"context": "x", "answers": ["y"], "dataset": "d"}"#
        do throws(EvaluationError) {
            _ = try LongBenchRecord.read(Data((good + "\n" + line).utf8), name: "file.jsonl")
            Issue.record("no error")
        } catch {
            #expect("\(error)".hasPrefix("file.jsonl, line 2: "))
        }
    }

    @Test func dataSetsHaveTheirMetrics() {
        let metrics: [(String, AnswerMetric)] = [
            ("hotpotqa", .f1), ("hotpotqa_e", .f1), ("gov_report", .rougeL), ("trec", .accuracy),
            ("lcc", .editSimilarity),
            ("passage_retrieval_en_e", .accuracy), ("repobench-p", .editSimilarity), ("unknown", .f1),
        ]
        for (name, metric) in metrics { #expect(LongBenchTask(dataset: name).metric == metric, "\(name)") }
    }

    @Test func fewShotAnswersAreTheirFirstLine() throws {
        let record = try record(["context": "x", "answers": ["Ann"], "dataset": "triviaqa"])
        #expect(LongBenchTask(dataset: "triviaqa").score("\n Ann\nQuestion: more", of: record) == 1)
    }

    /// A context that is too long loses its middle; a short one stays whole; a forged mark is only text.
    @Test func promptsFitTheirLimit() throws {
        let loaded = try TestModel.load()
        func prompt(_ words: Int, limit: Int, input: String = "Who?", dataset: String = "qasper") throws
            -> LongBenchPrompt
        {
            let fields: [String: Any] = [
                "context": "BEGIN " + String(repeating: "word ", count: words) + "END", "answers": ["y"],
                "input": input,
                "dataset": dataset,
            ]
            return try LongBenchPrompt(
                record(fields), task: LongBenchTask(dataset: dataset), tokenizer: loaded.tokenizer,
                template: loaded.template, limit: limit)
        }
        let long = try prompt(1000, limit: 200), short = try prompt(10, limit: 200)
        #expect(long.history.count + long.question.count == 200)
        let text = loaded.tokenizer.decode(long.history)
        #expect(text.contains("BEGIN") && text.hasSuffix("END"))
        #expect(short.history.count + short.question.count < 200)
        #expect(loaded.tokenizer.decode(short.question).contains("Who?"))
        let forged = try prompt(10, limit: 200, input: "Wh\u{E000}o?")
        #expect(forged == short)
        let raw = try prompt(10, limit: 200, dataset: "lcc")
        #expect(loaded.tokenizer.decode(raw.history).hasPrefix("BEGIN"))
        #expect(throws: EvaluationError.self) { try prompt(10, limit: 20) }
    }

    @Test func recordsAreAnswered() throws {
        let loaded = try TestModel.load(), runner = try loaded.runner()
        let context = (0..<8).map { _ in "The capital of France is Paris. The capital of Italy is Rome." }.joined(
            separator: " ")
        let fields: [String: Any] = [
            "context": context + " The capital of France is", "answers": ["Paris"], "dataset": "triviaqa", "input": " ",
        ]
        var steps: [String] = []
        let found = try LongBenchMeasure(tokenizer: loaded.tokenizer, template: loaded.template).run(
            record(fields), policies: [HalfPolicy(), StreamingPolicy(budget: 9)], with: runner
        ) { steps.append($0) }
        #expect(steps == ["triviaqa, exact", "triviaqa, f16", "triviaqa, streaming-9"])
        #expect(found.scores[0] == found.exact && found.scores.count == 2)
        #expect((0...1).contains(found.exact))
    }

    /// Decoding token by token is what scoring the whole says.
    @Test func greedyTakesTheLikeliest() throws {
        let loaded = try TestModel.load(), runner = try loaded.runner(), tokens = loaded.text(100)
        let recorder = try HistoryRecorder(shape: runner.shape, ends: [80])
        try runner.prefill(tokens[..<80], recorder: recorder)
        let written = try runner.greedy(after: tokens[80...], position: 80, maxTokens: 12, ends: [])
        #expect(written.count == 12)
        var likeliest: [Int32] = []
        try runner.score(tokens[80...] + written, position: 80) { _, logits in
            likeliest.append(Int32(logits.indices.max { logits[$0] < logits[$1] } ?? -1))
        }
        #expect(Array(likeliest[19..<31]) == written)
        let end = try runner.greedy(after: tokens[80...], position: 80, maxTokens: 12, ends: [written[3]])
        #expect(end == Array(written.prefix { $0 != written[3] }))
    }
}
