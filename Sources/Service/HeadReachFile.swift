// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import ModelFiles

/// What was measured of a model's heads, as JSON: `{"version": 4, "model": SHA-256 of the model's file, "costs": [layer][KV head]}`.
struct HeadReachFile: Codable {
    /// Another one with every change of what ``HeadReach`` measures, ``KVLayout/revision`` among them.
    static let currentVersion = 4

    let version: Int
    let model: String
    let costs: [[Float]]

    init(_ reach: HeadReach, model digest: String) {
        version = Self.currentVersion
        model = digest
        costs = reach.costs
    }

    /// Where it may lie for a model file, and where a new one is written.
    ///
    /// - Parameter fallbackDirectory: Where it lies if the model's own folder cannot be written.
    static func places(
        model path: String, digest: String, fallbackDirectory: String = ModelStore().directory
    ) -> ModelCompanion {
        let beside = (path.hasSuffix(".gguf") ? String(path.dropLast(5)) : path) + ".heads"
        return ModelCompanion(beside: beside, digest: digest, fallbackDirectory: fallbackDirectory)
    }

    /// Reads a file.
    ///
    /// - Returns: What it says; nil where there is no such file, where it is damaged, or of another model or version: it is quickly
    ///   made again.
    static func read(_ path: String, model digest: String) -> HeadReach? {
        guard let data = FileManager.default.contents(atPath: path),
            let file = try? JSONDecoder().decode(Self.self, from: data), file.version == currentVersion,
            file.model == digest
        else { return nil }
        return HeadReach(costs: file.costs)
    }

    /// Writes the file, whole or not at all.
    func write(to path: String) throws {
        try JSONEncoder().encode(self).withUnsafeBytes { try DurableFile.write($0, to: path) }
    }
}
