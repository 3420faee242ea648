// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Engine
import Kernels
import Logging
import Service

/// The flags that set what the settings file and the environment can set too.
struct SettingsOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Settings file (YAML).", valueName: "file"))
    var config: String?

    @Option(
        help: ArgumentHelp(
            "Model: a GGUF file, a Hugging Face folder, or a name that 'deltakv model list' shows.", valueName: "model")
    )
    var model: String?

    @Option(
        help: ArgumentHelp(
            "Weights: native (the file's blocks, int8 products) or float32 (exact, slower).", valueName: "form"))
    var weights: String?

    @Option(help: ArgumentHelp("Threads that compute; 0 for as many as the machine gives.", valueName: "n"))
    var threads: String?

    @Option(help: ArgumentHelp("Memory for keys and values, such as 4GiB.", valueName: "size"))
    var kvMemory: String?

    @Option(help: ArgumentHelp("Form of keys and values: int8, f16 or f32.", valueName: "type"))
    var kvType: String?

    @Option(
        help: ArgumentHelp(
            "Most of the tokens before it that a generated token attends to, as a share, such as 0.5; 1: all.",
            valueName: "share"))
    var decodeShare: String?

    @Option(
        help: ArgumentHelp(
            "Whether heads that look at little else see the ends of their context only when tokens are generated: auto or none.",
            valueName: "auto|none"))
    var localHeads: String?

    @Option(
        help: ArgumentHelp(
            "Whether the advice of the model's makers for sampling counts where nothing else is said: auto or none.",
            valueName: "auto|none"))
    var generationConfig: String?

    /// The settings in force, with more flags that a command has of its own.
    func load(more: [Settings.Key: String?] = [:]) async throws -> Settings {
        var flags: [Settings.Key: String?] = [
            .model: model, .weights: weights, .threads: threads, .kvMemory: kvMemory, .kvType: kvType,
            .decodeShare: decodeShare, .decodeLocalHeads: localHeads, .generationConfig: generationConfig,
        ]
        flags.merge(more) { _, new in new }
        return try await Settings.load(flags: flags.compactMapValues { $0 }, file: config)
    }
}

/// How keys and values are kept, for commands that generate.
struct PolicyOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How keys and values of prompts are kept: full (as computed) or deltakv (coded, with the model's compressor).",
            valueName: "policy"))
    var policy: String?
}

extension Settings {
    /// Starts the engine on the model that they name; says so if a compressor has to be made first.
    ///
    /// - Parameter cache: What it does with the cache directory.
    func startEngine(_ loaded: LoadedModel, cache: CacheAccess) async throws -> GenerationEngine {
        try await loaded.engine(
            self, path: ModelStore().path(of: model), installation: Installation(), cache: cache, logger: Self.logger)
    }

    /// What generated tokens attend to; says so if the model's heads have to be measured first.
    func attention(of loaded: LoadedModel) throws -> SparseAttention? {
        try loaded.attention(
            self, path: ModelStore().path(of: model), installation: Installation(), logger: Self.logger)
    }

    /// Which heads of the model are local; says so if they have to be measured first.
    func localHeads(of loaded: LoadedModel) throws -> [[Bool]] {
        try loaded.localHeads(
            self, path: ModelStore().path(of: model), installation: Installation(), logger: Self.logger)
    }

    /// For what takes its time.
    private static var logger: Logger {
        var logger = Logger(label: "deltakv") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .notice
        return logger
    }

    /// Loads the model that the settings name.
    func loadModel() throws -> LoadedModel {
        try LoadedModel(
            path: ModelStore().path(of: model), weights: weights, threads: threads, takesAdvice: takesAdvice)
    }
}
