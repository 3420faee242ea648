// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Inference
import Service

/// `deltakv bench`: prefill and decode speed on random prompts.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure prefill and decode speed on random prompts.",
        discussion: """
            A workload BxN is B different prompts of N random tokens, with no shared prefix, greedy, the end of text
            ignored. prefill = B*N / time to one new token; decode = B*(gen-1) / (time to gen tokens - time to one).
            """)

    static let defaultWork = WorkloadList(
        workloads: [(1, 512), (1, 4000), (8, 4000), (1, 7000)].map { Workload(batch: $0, prompt: $1) })

    @OptionGroup var settings: SettingsOptions

    @Option(help: ArgumentHelp("Workloads.", valueName: "BxN,BxN"))
    var work = BenchCommand.defaultWork

    @Option(help: ArgumentHelp("Tokens generated for each prompt; at least 2.", valueName: "n"))
    var gen = 33

    @Flag(help: "One line of JSON for each workload.")
    var json = false

    func validate() throws {
        guard gen >= 2 else { throw ValidationError("--gen must be at least 2") }
    }

    func run() async throws {
        let settings = try await settings.load()
        let loaded = try settings.loadModel()
        let configuration = loaded.model.configuration
        let engine = try loaded.engine(settings.engine)
        defer { engine.stop() }
        let pageBytes = KVPool.pageBytes(configuration: configuration, dataType: settings.engine.kvDataType)
        var runner = WorkloadRunner(
            engine: engine, vocabulary: configuration.vocabulary, kvBytesPerToken: pageBytes / KVPool.pageTokens,
            policy: "full-\(settings.engine.kvDataType)")
        try await runner.warmUp()
        for workload in work.workloads {
            let line = try await runner.measure(workload, newTokens: gen)
            if json {
                try printJSON(line)
            } else {
                print(
                    "\(line.batch) x \(line.prompt): prefill \(line.prefillTPS) tokens/s, "
                        + "decode \(line.decodeTPS) tokens/s, KV \(line.kvBytesPerToken) bytes/token, "
                        + "peak memory \(formatByteCount(line.peakRSSBytes))")
            }
        }
    }
}
