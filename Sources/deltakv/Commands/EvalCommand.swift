// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Compression
import Evaluation
import Foundation
import Service

/// `deltakv eval`: what compressed caches cost in quality.
struct EvalCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval", abstract: "Measure size and quality of cache policies.",
        discussion: """
            Each text's first tokens are the history: computed exactly, compressed by each policy. The tokens after it are
            scored over what the policy left, against the exact history: perplexity, divergence (KL, nats a token) and how
            often the likeliest next token is the same. Sizes count all bytes of the history, against f16. Weights are
            multiplied in fp32 unless --weights says otherwise, so that only the cache makes a difference.
            """)

    @OptionGroup var settings: SettingsOptions

    @Option(
        help: ArgumentHelp(
            "Policies: \(PolicyChoice.summary). By default the baselines \(PolicyCatalogue.defaultNames.joined(separator: ",")), "
                + "and deltakv, paper and paper-all where the model has compressors.", valueName: "p,q"))
    var policy: CommaList<String>?

    @Option(
        help: ArgumentHelp("Compressor for the policy deltakv; by default the one beside the model.", valueName: "file")
    )
    var compressor: String?

    @Option(help: ArgumentHelp("Tokens of the compressed histories.", valueName: "n,m"))
    var history = CommaList<Int>([4608, 7000])

    @Option(help: ArgumentHelp("Tokens scored after each history.", valueName: "n"))
    var score = 1024

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Texts to score, instead of chapters of Perl's manual.", valueName: "file"))
    var text: [String] = []

    @Option(help: ArgumentHelp("How many of the default texts.", valueName: "n"))
    var documents = 3

    @Option(
        help: ArgumentHelp(
            "Questions about hidden keys; half as many about chains of two links. 0 asks none.", valueName: "n"))
    var retrievalQuestions = 240

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("LongBench files (JSONL) whose questions are to be answered too.", valueName: "file"))
    var longbench: [String] = []

    @Option(help: ArgumentHelp("Where to draw divergence against bytes, as SVG.", valueName: "file"))
    var plot: String?

    @Option(
        help: ArgumentHelp(
            "Only the perplexity of so many first tokens of each text, with weights and KV type as jobs use them, and with --policy deltakv coded in segments as theirs are.",
            valueName: "n"))
    var perplexity: Int?

    @Flag(
        help:
            "With --perplexity, let each token attend to what a generated one would attend to (decode.share, decode.local_heads)."
    )
    var sparse = false

    @Flag(help: "One line of JSON for each policy, or each text of --perplexity.")
    var json = false

    func validate() throws {
        guard history.values.allSatisfy({ $0 > 0 }) else { throw ValidationError("--history must be above 0") }
        guard score > 0 else { throw ValidationError("--score must be above 0") }
        guard retrievalQuestions >= 0 else { throw ValidationError("--retrieval-questions must be at least 0") }
        guard documents > 0 else { throw ValidationError("--documents must be above 0") }
        guard (perplexity ?? 2) > 1 else { throw ValidationError("--perplexity must be above 1") }
        guard perplexity == nil || policy == nil || policy?.values == ["deltakv"] else {
            throw ValidationError("--perplexity takes no policy but deltakv")
        }
        guard perplexity != nil || !sparse else {
            throw ValidationError("--sparse goes with --perplexity; else there is the policy sparse-P%")
        }
        for name in policy?.values ?? [] {
            do throws(EvaluationError) { _ = try PolicyChoice(name) } catch { throw ValidationError("\(error)") }
        }
    }

    func run() async throws {
        let texts = try EvaluationTexts(files: text, count: documents).texts
        if let perplexity { return try await printPerplexity(texts, tokens: perplexity) }
        let records = try longbench.flatMap(Self.records)
        // With int8 products a cache that differs in its last bits already gives a divergence of 0.003.
        let inForce = try await settings.load(more: [.weights: settings.weights ?? "float32"])
        let loaded = try inForce.loadModel()
        let compressors = ModelCompressors(path: try ModelStore().path(of: inForce.model))
        let catalogue = PolicyCatalogue(
            threads: loaded.threads, compressor: { try compressors.transform($0 ?? compressor) },
            paperCompressor: { try compressors.paper($0, loaded.model.configuration) },
            localHeads: { try inForce.localHeads(of: loaded) })
        let names = policy?.values ?? PolicyCatalogue.defaultNames + compressors.policies(named: compressor)
        let policies = try names.map { try catalogue.policy(named: $0) }
        let evaluation = try Evaluation(
            documents: texts.map { .init(name: $0.name, tokens: loaded.tokenizer.encode($0.text)) },
            measure: TextMeasure(histories: Array(Set(history.values)).sorted(), score: score),
            contexts: RetrievalContext.make(questions: retrievalQuestions, tokenizer: loaded.tokenizer),
            records: records, longBench: LongBenchMeasure(tokenizer: loaded.tokenizer, template: loaded.chatTemplate()))
        var progress = ProgressBar(steps: evaluation.passes(policies: policies.count))
        let runner = try HistoryRunner(model: loaded.model, threads: loaded.threads)
        let reports = try evaluation.run(policies, with: runner) { progress.next($0) }
        progress.finish()
        if let plot { try Data(QualityPlot(reports: reports).svg.utf8).write(to: URL(fileURLWithPath: plot)) }
        if json {
            for report in reports { try printJSON(report) }
        } else {
            print(EvaluationTable(reports: reports).text, terminator: "")
        }
    }
}

extension EvalCommand {
    /// A line for each text, and one for all.
    private func printPerplexity(_ texts: [(name: String, text: String)], tokens: Int) async throws {
        struct Line: Encodable {
            let text: String
            let tokens: Int
            let perplexity: Double
        }
        let settings = try await settings.load(), loaded = try settings.loadModel()
        let isCoded = policy != nil
        let compressor =
            try isCoded
            ? ModelCompressors(path: ModelStore().path(of: settings.model)).transform(compressor) : nil
        let attention = sparse ? try settings.attention(of: loaded) : nil
        var all = Perplexity()
        func show(_ name: String, _ figure: Perplexity) throws {
            let line = Line(text: name, tokens: figure.tokens, perplexity: figure.value)
            if json { return try printJSON(line) }
            let value = line.perplexity.formatted(.number.precision(.fractionLength(4)).grouping(.never))
            print("\(line.text): perplexity \(value) over \(line.tokens) tokens")
        }
        for (name, text) in texts {
            let figure = try Perplexity(
                of: loaded.tokenizer.encode(text).prefix(tokens), name: name, model: loaded.model,
                dataType: settings.engine.kvDataType, compressor: compressor,
                sparse: attention, threads: loaded.threads)
            try show(name, figure)
            all.merge(figure)
        }
        try show("all", all)
    }

    private static func records(of path: String) throws -> [LongBenchRecord] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ValidationError("the file \(path) cannot be read: check the path")
        }
        return try LongBenchRecord.read(data, name: path)
    }
}

/// Values separated by commas.
struct CommaList<Value: LosslessStringConvertible & Sendable>: ExpressibleByArgument, Sendable {
    var values: [Value]

    init(_ values: [Value]) { self.values = values }

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Value(String($0)) }
        guard !parts.isEmpty, parts.allSatisfy({ $0 != nil }) else { return nil }
        values = parts.compactMap { $0 }
    }

    var defaultValueDescription: String { values.map(\.description).joined(separator: ",") }
}
