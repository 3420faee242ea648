// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Inference
import Kernels
import ModelFiles
import Service
import Tokenization

/// `deltakv bench`: prefill and decode speed on random prompts.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure prefill and decode speed on random prompts.",
        discussion: """
            A workload BxN is B different prompts of N random tokens, with no shared prefix unless --shared says so,
            greedy, the end of text ignored. prefill = B*N / time to one new token; decode = tokens / time while the whole batch decodes
            or, where a quarter of the tokens or less come then, B*(gen-1) / (time to gen tokens - time to one).
            With --kernels, weights and caches come from memory, and a row's share is that of the machine's int8
            operations or, for single tokens, of its memory reads.
            """)

    static let defaultWork = WorkloadList(
        workloads: [(1, 512), (1, 4000), (8, 4000), (1, 7000)].map { Workload(batch: $0, prompt: $1) })

    @OptionGroup var settings: SettingsOptions

    @OptionGroup var policy: PolicyOption

    @Option(help: ArgumentHelp("Workloads.", valueName: "BxN,BxN"))
    var work = BenchCommand.defaultWork

    @Option(help: ArgumentHelp("Tokens generated for each prompt; at least 2.", valueName: "n"))
    var gen = 33

    @Option(
        help: ArgumentHelp(
            "Tokens that all prompts of a workload begin with; computed once with --policy deltakv.", valueName: "n"))
    var shared = 0

    @Flag(help: "Measure kernels one by one instead, beside what the machine can do.")
    var kernels = false

    @Option(
        help: ArgumentHelp(
            "Measure the tokenizer on a text file instead, on one core; - reads standard input.", valueName: "file"))
    var tokenize: String?

    @Option(
        help: ArgumentHelp(
            "Measure the codec instead: a text file is computed, coded and brought back.", valueName: "file"))
    var codec: String?

    @Flag(help: "Measure writing and loading persisted caches instead, in a directory beside cache.directory.")
    var cache = false

    @Flag(help: "One line of JSON for each workload, kernel or direction.")
    var json = false

    func validate() throws {
        guard gen >= 2 else { throw ValidationError("--gen must be at least 2") }
        guard shared >= 0 else { throw ValidationError("--shared must not be negative") }
    }

    func run() async throws {
        let settings = try await settings.load(more: [.kvPolicy: policy.policy])
        if kernels { return try benchKernels(settings) }
        if let codec { return try benchCodec(settings, file: codec) }
        if cache { return try benchCache(settings) }
        if let tokenize { return try benchTokenizer(settings, file: tokenize) }
        let loaded = try settings.loadModel(), engine = try await settings.startEngine(loaded, cache: .none)
        let configuration = loaded.model.configuration
        defer { engine.stop() }
        let pageBytes = KVPool.pageBytes(configuration: configuration, dataType: settings.engine.kvDataType)
        var runner = WorkloadRunner(
            engine: engine, vocabulary: configuration.vocabulary, kvBytesPerToken: pageBytes / KVPool.pageTokens,
            policy: "\(settings.kvPolicy)-\(settings.engine.kvDataType)", shared: shared)
        try await runner.warmUp()
        for workload in work.workloads {
            let line = try await runner.measure(workload, newTokens: gen)
            if json {
                try printJSON(line)
            } else {
                print(
                    "\(line.batch) x \(line.prompt): prefill \(line.prefillTPS) tokens/s, "
                        + "decode \(line.decodeTPS) tokens/s, KV \(line.kvBytesPerToken) bytes/token, "
                        + "peak memory \(formatByteCount(line.peakRSSBytes)), \(line.decodeTPSPerGiB) tokens/s for each GiB"
                )
                let step = line.step
                print(
                    "  a step that decodes: linear \(step.linear) ms, store \(step.store) ms, attention \(step.attention) ms, "
                        + "logits \(step.logits) ms, other \(step.other) ms")
                let turns =
                    line.suspensions > 0 ? "; \(line.suspensions) times a sequence made room for others" : ""
                print("  keys and values took \(formatByteCount(line.kvPeakBytes)) of memory at most\(turns)")
            }
        }
    }

    private func text(_ file: String) throws -> String {
        let data = try file == "-" ? FileHandle.standardInput.readToEnd() : FileManager.default.contents(atPath: file)
        guard let text = data.flatMap({ String(validating: $0, as: UTF8.self) }), !text.isEmpty else {
            throw ValidationError("\(file) cannot be read, is empty or is not UTF-8: give a text file")
        }
        return text
    }

    /// On the first tokens of a text, as many as fit a prompt of the model.
    private func benchCodec(_ settings: Settings, file: String) throws {
        let text = try text(file), loaded = try settings.loadModel()
        let path = try ModelStore().path(of: settings.model)
        let bench = try CodecBench(
            model: loaded.model, compressor: ModelCompressors(path: path).transform(nil), threads: loaded.threads,
            dataType: settings.engine.kvDataType)
        let tokens = loaded.tokenizer.encode(text).prefix(loaded.model.configuration.contextLength - 1)
        let lengths = Set([1024, 4096, 7168, tokens.count].filter { $0 <= tokens.count }).sorted()
        // The first time pays for memory.
        _ = try bench.measure(Array(tokens.prefix(512)))
        for length in lengths {
            let line = try bench.measure(Array(tokens.prefix(length)))
            if json {
                try printJSON(line)
            } else {
                print(
                    """
                    \(line.prompt) tokens: computed in \(line.prefillSeconds) s, coded in \(line.codingSeconds) s \
                    (\(line.codingShare)), brought back in \(line.restoreSeconds) s, \(line.bytesPerToken) bytes a token \
                    (\(line.share) of f16)
                    """)
            }
        }
    }

    private func benchTokenizer(_ settings: Settings, file: String) throws {
        let text = try text(file)
        let model = try ModelFile(path: ModelStore().path(of: settings.model))
        for row in try TokenizerBench(tokenizer: Tokenizer(model), text: text).rows() {
            if json {
                try printJSON(row)
            } else {
                print("\(row.direction): \(row.megabytesPerSecond) MB/s, \(row.bytes) bytes, \(row.tokens) tokens")
            }
        }
    }

    private func benchCache(_ settings: Settings) throws {
        for row in try CacheBench(directory: settings.cache.directory).rows() {
            if json {
                try printJSON(row)
            } else {
                let kind = row.isEncrypted ? "encrypted" : "plain"
                print(
                    "\(row.operation), \(kind): \(row.chunks) chunks, \(row.bytes) bytes, \(row.median) ms, best \(row.best) ms"
                )
            }
        }
    }

    private func benchKernels(_ settings: Settings) throws {
        let file = try ModelFile(path: ModelStore().path(of: settings.model))
        let threads = settings.threads > 0 ? try ThreadPool(threads: settings.threads) : try ThreadPool()
        var bench = try KernelBench(ModelConfiguration(file), threads: threads)
        for row in try bench.rows() {
            if json {
                try printJSON(row)
            } else {
                let share = (row.share * 100).formatted(.number.precision(.fractionLength(0)))
                print("\(row.kernel) \(row.shape): \(row.gops) GOP/s, \(row.gbps) GB/s, \(share) % of \(row.limit)")
            }
        }
    }
}
