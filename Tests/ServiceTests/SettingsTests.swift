// SPDX-License-Identifier: Apache-2.0

import Foundation
import Kernels
import Testing

@testable import Service

@Suite struct SettingsTests {
    private func withFile(_ yaml: String, _ body: (String) async throws -> Void) async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString + ".yaml")
        try Data(yaml.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        try await body(file.path)
    }

    @Test func flagsGoOverTheEnvironmentOverTheFileOverDefaults() async throws {
        try await withFile(
            """
            threads: 3
            kv:
              memory: 1GiB
              type: f32
            worker:
              lease: 90s
              poll: 5s
              max_jobs: 7
            """
        ) { file in
            let settings = try await Settings.load(
                flags: [.workerLease: "10s"], file: file,
                environment: ["DELTAKV_WORKER_LEASE": "20s", "DELTAKV_KV_MEMORY": "2GiB"])
            #expect(settings.worker.lease == .seconds(10))
            #expect(settings.engine.kvBytes == 2 << 30)
            #expect(settings.engine.kvDataType == .float32)
            #expect(settings.worker.poll == .seconds(5))
            #expect(settings.worker.maxJobs == 7)
            #expect(settings.threads == 3)
            #expect(settings.worker.grace == .seconds(30))
            #expect(settings.worker.retention == nil)
            #expect(settings.file == file)
        }
    }

    @Test(arguments: [
        ("DELTAKV_WORKER_MAX_JOBS", "abc", "worker.max_jobs"), ("DELTAKV_WORKER_MAX_JOBS", "0", "worker.max_jobs"),
        ("DELTAKV_WORKER_OVERCOMMIT", "0", "worker.overcommit"),
        ("DELTAKV_ENGINE_TURN_TOKENS", "-1", "engine.turn_tokens"),
        ("DELTAKV_KV_MEMORY", "12 parsecs", "kv.memory"), ("DELTAKV_KV_TYPE", "f8", "kv.type"),
        ("DELTAKV_DECODE_SHARE", "0", "decode.share"), ("DELTAKV_DECODE_SHARE", "1.5", "decode.share"),
        ("DELTAKV_DECODE_SHARE", "nan", "decode.share"), ("DELTAKV_DECODE_LOCAL_HEADS", "some", "decode.local_heads"),
        ("DELTAKV_KV_POLICY", "half", "kv.policy"), ("DELTAKV_CACHE_DIRECTORY", "here", "cache.directory"),
        ("DELTAKV_CACHE_BUDGET", "1", "cache.budget"), ("DELTAKV_CACHE_TTL", "later", "cache.ttl"),
        ("DELTAKV_CACHE_FREE_FLOOR", "some", "cache.free_floor"),
        ("DELTAKV_WORKER_LEASE", "-3s", "worker.lease"), ("DELTAKV_METRICS_LISTEN", "all:", "metrics.listen"),
        ("DELTAKV_DASHBOARD_LISTEN", "::1:80", "dashboard.listen"), ("DELTAKV_LOG_FORMAT", "xml", "log.format"),
    ])
    func aBadValueIsNamedWithItsSource(variable: String, value: String, key: String) async {
        await #expect {
            try await Settings.load(environment: [variable: value])
        } throws: {
            "\($0)".contains(key) && "\($0)".contains(value) && "\($0)".contains("environment")
        }
    }

    @Test func whatGeneratedTokensAttendToIsSet() async throws {
        #expect(try await Settings.load(environment: [:]).engine.sparse == SparseAttention(share: 0.5))
        let some = try await Settings.load(environment: ["DELTAKV_DECODE_SHARE": "0.3"])
        #expect(some.engine.sparse == SparseAttention(share: 0.3))
        #expect(try await Settings.load(flags: [.decodeShare: "1"], environment: [:]).engine.sparse == nil)
        #expect(try await Settings.load(environment: [:]).usesLocalHeads)
        #expect(try await !Settings.load(flags: [.decodeLocalHeads: "none"], environment: [:]).usesLocalHeads)
    }

    @Test func turnsAreSet() async throws {
        let defaults = try await Settings.load(environment: [:])
        #expect(defaults.engine.turnTokens == 256 && defaults.worker.overcommit == 1)
        let set = try await Settings.load(
            environment: ["DELTAKV_ENGINE_TURN_TOKENS": "64", "DELTAKV_WORKER_OVERCOMMIT": "6"])
        #expect(set.engine.turnTokens == 64 && set.worker.overcommit == 6)
    }

    @Test func theCacheIsSet() async throws {
        let settings = try await Settings.load(
            environment: [
                "DELTAKV_CACHE_DIRECTORY": "/c", "DELTAKV_CACHE_BUDGET": "3GiB", "DELTAKV_CACHE_TTL": "0",
                "DELTAKV_CACHE_FREE_FLOOR": "1GiB",
            ])
        #expect(
            settings.cache == CacheLocation(directory: "/c", budget: 3 << 30, life: nil, freeFloor: 1 << 30))
        let defaults = try await Settings.load(environment: ["XDG_CACHE_HOME": "/x"])
        #expect(defaults.cache.directory == "/x/deltakv/chunks" && defaults.cache.life == .seconds(30 * 86400))
    }

    @Test func nothingIsServedUnlessSomebodyAsks() async throws {
        let quiet = try await Settings.load(environment: [:]).monitoring
        #expect(
            quiet.metrics == nil && quiet.dashboard == nil && quiet.dashboardToken == nil && quiet.logFormat == .text)
        try await withFile("metrics: { listen: 9464 }\nlog: { format: json }") { file in
            let settings = try await Settings.load(file: file, environment: ["DELTAKV_DASHBOARD_TOKEN": "secret"])
                .monitoring
            #expect(settings.metrics?.description == "127.0.0.1:9464" && settings.logFormat == .json)
            #expect(settings.dashboardToken == "secret")
        }
    }

    @Test func aFileThatIsNamedMustBeThere() async {
        await #expect(throws: SettingsError.self) {
            try await Settings.load(file: "/does/not/exist.yaml", environment: [:])
        }
    }

    @Test func brokenYAMLIsAClearError() async throws {
        try await withFile("a: [") { file in
            await #expect {
                try await Settings.load(file: file, environment: [:])
            } throws: {
                "\($0)".contains(file)
            }
        }
    }

    @Test func unitsAreRead() {
        #expect(parseByteCount("4GiB") == 4 << 30)
        #expect(parseByteCount("1.5 kB") == 1500)
        #expect(parseByteCount("77") == 77)
        #expect(parseByteCount("GiB") == nil)
        #expect(parseByteCount("-1") == nil)
        #expect(parseByteCount("1e99GiB") == nil)
        #expect(parseDuration("500ms") == .milliseconds(500))
        #expect(parseDuration("2m") == .seconds(120))
        #expect(parseDuration("soon") == nil)
        #expect(formatByteCount(1536) == "1.5 KiB")
    }
}
