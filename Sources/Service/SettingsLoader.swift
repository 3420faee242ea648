// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Configuration
import Engine
import Foundation
import Inference
import Kernels
import Monitoring
import SystemPackage

extension Settings {
    /// The names of all settings, as they stand in the YAML file; in the environment `kv.memory` is
    /// `DELTAKV_KV_MEMORY`.
    public enum Key: String, CaseIterable, Sendable {
        case model
        case weights
        case threads
        case generationConfig = "generation_config"
        case engineMaxSequences = "engine.max_sequences"
        case engineRowsPerStep = "engine.rows_per_step"
        case engineTurnTokens = "engine.turn_tokens"
        case kvMemory = "kv.memory"
        case kvType = "kv.type"
        case kvPolicy = "kv.policy"
        case decodeShare = "decode.share"
        case decodeLocalHeads = "decode.local_heads"
        case workerMaxJobs = "worker.max_jobs"
        case workerOvercommit = "worker.overcommit"
        case workerLease = "worker.lease"
        case workerPoll = "worker.poll"
        case workerGrace = "worker.grace"
        case workerRetention = "worker.retention"
        case cacheDirectory = "cache.directory"
        case cacheBudget = "cache.budget"
        case cacheLife = "cache.ttl"
        case cacheFreeFloor = "cache.free_floor"
        case metricsListen = "metrics.listen"
        case dashboardListen = "dashboard.listen"
        case dashboardToken = "dashboard.token"
        case logFormat = "log.format"
    }

    /// Puts the settings together.
    ///
    /// - Parameters:
    ///   - flags: What the command line gave.
    ///   - file: The YAML file: the one named, or nil for `DELTAKV_CONFIG`, then `/etc/deltakv.yaml` if it exists.
    ///   - environment: The environment's variables.
    /// - Throws: ``SettingsError`` for a file that cannot be read and for the first value that cannot be used.
    public static func load(
        flags: [Key: String] = [:], file: String? = nil,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) async throws -> Settings {
        let file = try existingFile(named: file ?? environment["DELTAKV_CONFIG"])
        let reader = SettingsReader(try await readers(flags: flags, file: file, environment: environment))
        let defaults = EngineSettings()
        let settings = Settings(
            model: try await reader.text(.model, default: ModelStore.defaultModel.name),
            weights: try await reader.weightForm(.weights),
            takesAdvice: try await reader.choice(.generationConfig),
            engine: EngineSettings(
                maxSequences: try await reader.int(.engineMaxSequences, default: defaults.maxSequences, in: 1...4096),
                rowsPerStep: try await reader.int(.engineRowsPerStep, default: defaults.rowsPerStep, in: 1...65536),
                kvBytes: try await reader.bytes(.kvMemory, default: defaultKVBytes()),
                kvDataType: try await reader.dataType(.kvType),
                sparse: try await reader.attention(.decodeShare, default: defaults.sparse),
                turnTokens: try await reader.int(.engineTurnTokens, default: defaults.turnTokens, in: 1...1_000_000)),
            kvPolicy: try await reader.policy(.kvPolicy),
            usesLocalHeads: try await reader.choice(.decodeLocalHeads),
            threads: try await reader.int(.threads, default: 0, in: 0...1024),
            worker: WorkerSettings(
                maxJobs: try await reader.int(.workerMaxJobs, default: 64, in: 1...100_000),
                overcommit: try await reader.int(.workerOvercommit, default: 1, in: 1...64),
                lease: try await reader.duration(.workerLease, default: .seconds(60), atLeast: .seconds(3)),
                poll: try await reader.duration(.workerPoll, default: .seconds(2), atLeast: .milliseconds(10)),
                grace: try await reader.duration(.workerGrace, default: .seconds(30), atLeast: .zero),
                retention: try await reader.optionalDuration(.workerRetention, atLeast: .seconds(60))),
            cache: try await cache(reader, environment),
            monitoring: MonitoringSettings(
                metrics: try await reader.address(.metricsListen),
                dashboard: try await reader.address(.dashboardListen),
                dashboardToken: try await reader.secret(.dashboardToken),
                logFormat: try await reader.logFormat(.logFormat)),
            file: file)
        return settings
    }

    private static func cache(
        _ reader: SettingsReader, _ environment: [String: String]
    ) async throws -> CacheLocation {
        let defaults = CacheSettings()
        let life = try await reader.duration(.cacheLife, default: defaults.life ?? .zero, atLeast: .zero)
        return CacheLocation(
            directory: try await reader.path(
                .cacheDirectory, default: CacheLocation.defaultDirectory(environment: environment)),
            budget: try await reader.bytes(.cacheBudget, default: defaults.budget),
            life: life == .zero ? nil : life,
            freeFloor: try await reader.bytes(.cacheFreeFloor, default: defaults.freeFloor))
    }

    private static func existingFile(named name: String?) throws -> String? {
        if let name {
            guard FileManager.default.isReadableFile(atPath: name) else {
                throw SettingsError(description: "the settings file \(name) cannot be read: check the path")
            }
            return name
        }
        let system = "/etc/deltakv.yaml"
        return FileManager.default.isReadableFile(atPath: system) ? system : nil
    }

    private static func readers(
        flags: [Key: String], file: String?, environment: [String: String]
    ) async throws -> [(source: String, reader: ConfigReader)] {
        let flagValues = Dictionary(
            uniqueKeysWithValues: flags.map { key, value in
                (AbsoluteConfigKey(ConfigKey(key.rawValue)), ConfigValue(.string(value), isSecret: false))
            })
        var readers = [
            ("the command line", ConfigReader(provider: InMemoryProvider(values: flagValues))),
            (
                "the environment",
                ConfigReader(provider: EnvironmentVariablesProvider(environmentVariables: environment))
                    .scoped(to: "deltakv")
            ),
        ]
        if let file {
            do {
                let provider = try await FileProvider<YAMLSnapshot>(filePath: FilePath(file))
                readers.append((file, ConfigReader(provider: provider)))
            } catch {
                throw SettingsError(description: "the settings file \(file) is not valid YAML: \(error)")
            }
        }
        return readers
    }

    /// A quarter of the machine's memory, so that the weights and the page cache keep their room.
    private static func defaultKVBytes() -> Int {
        Int(clamping: ProcessInfo.processInfo.physicalMemory / 4)
    }
}

/// Reads single settings and says where a bad one stands.
private struct SettingsReader {
    let readers: [(source: String, reader: ConfigReader)]

    init(_ readers: [(source: String, reader: ConfigReader)]) { self.readers = readers }

    /// The first source's value as text, whether the source holds text or a number.
    private func find(_ key: Settings.Key) async throws -> (text: String, source: String)? {
        let name = ConfigKey(key.rawValue)
        for (source, reader) in readers {
            if let text = try? await reader.fetchString(forKey: name) { return (text, source) }
            if let number = try? await reader.fetchInt(forKey: name) { return (String(number), source) }
            if let number = try? await reader.fetchDouble(forKey: name) { return (String(number), source) }
        }
        return nil
    }

    private func value<Value>(
        _ key: Settings.Key, default fallback: Value, expected: String, parse: (String) -> Value?
    ) async throws -> Value {
        guard let (text, source) = try await find(key) else { return fallback }
        guard let value = parse(text) else {
            throw SettingsError(description: "\(key.rawValue) is '\(text)' in \(source): it must be \(expected)")
        }
        return value
    }

    func text(_ key: Settings.Key, default fallback: String) async throws -> String {
        try await value(key, default: fallback, expected: "a text that is not empty") { $0.isEmpty ? nil : $0 }
    }

    func path(_ key: Settings.Key, default fallback: String) async throws -> String {
        try await value(key, default: fallback, expected: "an absolute path") { $0.hasPrefix("/") ? $0 : nil }
    }

    func int(_ key: Settings.Key, default fallback: Int, in range: ClosedRange<Int>) async throws -> Int {
        let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        return try await value(key, default: fallback, expected: expected) {
            Int($0).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    func bytes(_ key: Settings.Key, default fallback: Int) async throws -> Int {
        try await value(key, default: fallback, expected: "a size of at least 1 MiB such as 4GiB") {
            parseByteCount($0).flatMap { $0 >= 1 << 20 ? $0 : nil }
        }
    }

    func duration(_ key: Settings.Key, default fallback: Duration, atLeast least: Duration) async throws -> Duration {
        try await value(key, default: fallback, expected: "a duration of at least \(least), such as 30s or 500ms") {
            parseDuration($0).flatMap { $0 >= least ? $0 : nil }
        }
    }

    func optionalDuration(_ key: Settings.Key, atLeast least: Duration) async throws -> Duration? {
        let expected = "a duration of at least \(least), such as 30d"
        return try await value(key, default: Duration?.none, expected: expected) { text -> Duration?? in
            parseDuration(text).flatMap { $0 >= least ? .some(.some($0)) : nil }
        }
    }

    func weightForm(_ key: Settings.Key) async throws -> WeightForm {
        try await value(key, default: .native, expected: "native or float32") { WeightForm(rawValue: $0) }
    }

    /// Whether something that is found out by itself counts.
    func choice(_ key: Settings.Key) async throws -> Bool {
        try await value(key, default: true, expected: "auto or none") { ["auto": true, "none": false][$0] }
    }

    func policy(_ key: Settings.Key) async throws -> KVPolicy {
        try await value(key, default: .full, expected: "full or deltakv") { KVPolicy(rawValue: $0) }
    }

    func attention(_ key: Settings.Key, default fallback: SparseAttention?) async throws -> SparseAttention? {
        let expected = "a number above 0 and at most 1, such as 0.5; 1 for all tokens"
        return try await value(key, default: fallback, expected: expected) { text -> SparseAttention?? in
            guard let share = Double(text), share > 0, share <= 1 else { return nil }
            return .some(share < 1 ? SparseAttention(share: share) : nil)
        }
    }

    func address(_ key: Settings.Key) async throws -> ListenAddress? {
        try await value(key, default: nil, expected: "an address such as 127.0.0.1:9464") { ListenAddress($0) }
    }

    /// A text that no error message repeats.
    func secret(_ key: Settings.Key) async throws -> String? {
        guard let (text, source) = try await find(key) else { return nil }
        guard !text.isEmpty else { throw SettingsError(description: "\(key.rawValue) is empty in \(source)") }
        return text
    }

    func logFormat(_ key: Settings.Key) async throws -> LogFormat {
        try await value(key, default: .text, expected: "text or json") { LogFormat(rawValue: $0) }
    }

    func dataType(_ key: Settings.Key) async throws -> KVDataType {
        try await value(key, default: .int8, expected: "int8, f16 or f32") {
            ["int8": .int8, "f16": .float16, "f32": .float32][$0]
        }
    }
}
