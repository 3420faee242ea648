// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The tiny random model with a context of 32,768 tokens and a cache directory of its own, for runs with `kv.policy: deltakv` that
/// take a moment.
struct TinyModel {
    /// What a program that uses both finds in its environment.
    let environment: [String: String]

    /// Makes the files for `body`, and removes them.
    static func with(_ body: (TinyModel) async throws -> Void) async throws {
        let folder = NSTemporaryDirectory() + "deltakv-tiny-\(UUID().uuidString)", model = folder + "/model"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let golden = #filePath.replacing(/TinyModel.swift$/, with: "Golden/tiny-qwen2")
        try FileManager.default.copyItem(atPath: golden, toPath: model)
        let configuration = URL(fileURLWithPath: model + "/config.json")
        let text = try String(contentsOf: configuration, encoding: .utf8)
        try text.replacing(#""max_position_embeddings": 1024"#, with: #""max_position_embeddings": 32768"#)
            .write(to: configuration, atomically: true, encoding: .utf8)
        try await body(
            TinyModel(environment: [
                "DELTAKV_MODEL": model, "DELTAKV_KV_POLICY": "deltakv", "DELTAKV_KV_MEMORY": "64MiB",
                "DELTAKV_CACHE_DIRECTORY": folder + "/cache", "DELTAKV_CACHE_FREE_FLOOR": "1MiB",
            ]))
    }

    /// The program with these settings.
    func program(_ program: Program) -> Program {
        Program(environment: program.environment.merging(environment) { $1 })
    }
}
