// SPDX-License-Identifier: Apache-2.0
import Foundation
import Inference
import Logging
import Testing

@testable import Service

/// What is measured of the heads of the real default model, and the file that keeps it.
@Suite(.serialized) struct HeadReachFileTests {
    private static let modelPath =
        ProcessInfo.processInfo.environment["DELTAKV_TEST_MODEL"]
        ?? NSHomeDirectory() + "/.cache/deltakv/models/smollm2-135m-instruct-q4_1.gguf"
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    /// A folder of its own with the model in it.
    private func withModel(_ body: (LoadedModel, _ model: String) async throws -> Void) async throws {
        let folder = NSTemporaryDirectory() + "deltakv-heads-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: folder + "/model.gguf", withDestinationPath: Self.modelPath)
        try await body(try LoadedModel(path: Self.modelPath, weights: .native, threads: 0), folder + "/model.gguf")
    }

    private func local(_ loaded: LoadedModel, _ path: String, _ environment: [String: String] = [:]) async throws
        -> [[Bool]]?
    {
        let settings = try await Settings.load(environment: environment)
        let installation = try Installation(environment: ["DELTAKV_SHARE": Self.root])
        return try loaded.attention(settings, path: path, installation: installation, logger: Logger(label: "test"))?
            .local
    }

    /// The first look measures, the next ones read; a file that is damaged, of another model or another shape is made again.
    @Test func isMeasuredOnce() async throws {
        try await withModel { loaded, path in
            let file = String(path.dropLast(5)) + ".heads", first = try #require(try await local(loaded, path))
            #expect(first.joined().contains(true) && first.joined().contains(false))
            // What the file says counts.
            let kept = try #require(FileManager.default.contents(atPath: file))
            var stored = try JSONDecoder().decode(HeadReachFile.self, from: kept)
            let none = HeadReach(costs: stored.costs.map { $0.map { _ in 1 } })
            try HeadReachFile(none, model: stored.model).write(to: file)
            #expect(try await local(loaded, path)?.joined().contains(true) == false)
            for broken in [
                try JSONEncoder().encode(HeadReachFile(none, model: "another")),
                try JSONEncoder().encode(HeadReachFile(HeadReach(costs: [[1]]), model: stored.model)),
                Data("{\"version\": 1".utf8), Data(),
            ] {
                try broken.write(to: URL(fileURLWithPath: file))
                #expect(try await local(loaded, path) == first)
                let again = try #require(FileManager.default.contents(atPath: file))
                stored = try JSONDecoder().decode(HeadReachFile.self, from: again)
                #expect(HeadReach(costs: stored.costs).local() == first)
            }
        }
    }

    /// No head is local, and nothing is measured, where settings say so or where all tokens are seen.
    @Test(arguments: [
        ["DELTAKV_DECODE_LOCAL_HEADS": "none"], ["DELTAKV_DECODE_SHARE": "1"], ["DELTAKV_KV_TYPE": "f16"],
    ])
    func canBeLeftAside(_ environment: [String: String]) async throws {
        try await withModel { loaded, path in
            let heads = try await local(loaded, path, environment) ?? []
            #expect(heads.isEmpty)
            #expect(!FileManager.default.fileExists(atPath: String(path.dropLast(5)) + ".heads"))
        }
    }
}
