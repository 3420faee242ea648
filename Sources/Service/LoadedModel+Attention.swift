// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Kernels
import Logging
import ModelFiles

extension LoadedModel {
    /// What generated tokens attend to under settings: their share of tokens, and the local heads of this model.
    ///
    /// - Parameter path: The model's file.
    /// - Throws: `GGUFError` or the like where the model's file cannot be read.
    public func attention(
        _ settings: Settings, path: String, installation: Installation, logger: Logger
    ) throws -> SparseAttention? {
        guard var sparse = settings.engine.sparse, settings.engine.kvDataType == .int8 else {
            return settings.engine.sparse
        }
        sparse.local = try localHeads(settings, path: path, installation: installation, logger: logger)
        return sparse
    }

    /// Which heads of this model see the ends of their context only, [layer][KV head]; empty where settings want none, where the
    /// model's context is too short for it to matter, and where measuring fails.
    ///
    /// Measured once, which takes seconds for a small model, and kept in a file. Heads measured with other weights than native ones
    /// are not kept: they differ by a little, and files are for what jobs use.
    ///
    /// - Parameter path: The model's file.
    /// - Throws: `GGUFError` or the like where the model's file cannot be read.
    public func localHeads(
        _ settings: Settings, path: String, installation: Installation, logger: Logger
    ) throws -> [[Bool]] {
        guard settings.usesLocalHeads, model.configuration.contextLength >= HeadReach.leastContext else { return [] }
        let digest = try ModelFile(path: path).digest(), file = HeadReachFile.places(model: path, digest: digest)
        let found = file.read.lazy.compactMap { HeadReachFile.read($0, model: digest) }.first(where: isOfThisShape)
        if let found { return found.local() }
        guard let reach = measured(installation, logger) else { return [] }
        if settings.weights == .native {
            do {
                try HeadReachFile(reach, model: digest).write(to: file.write)
            } catch {
                logger.warning("The measurement of heads cannot be kept.", metadata: ["error": "\(error)"])
            }
        }
        return reach.local()
    }

    private func isOfThisShape(_ reach: HeadReach) -> Bool {
        let c = model.configuration
        return reach.costs.count == c.layers && reach.costs.allSatisfy { $0.count == c.kvHeads }
    }

    /// Measures how far heads look; nil, with a warning, where that cannot be done: jobs run without it.
    private func measured(_ installation: Installation, _ logger: Logger) -> HeadReach? {
        let sample = installation.calibrationSample
        let tokens = (try? String(contentsOfFile: sample, encoding: .utf8)).map { tokenizer.encode($0) } ?? []
        guard tokens.count >= HeadReach.leastTokens else {
            logger.warning(
                "Heads cannot be measured; all of them look at the whole context.",
                metadata: ["file": "\(sample)", "tokens": "\(tokens.count)"])
            return nil
        }
        logger.notice("Measuring how far back the model's heads look, once.")
        do {
            return try HeadReach(of: model, on: tokens, threads: threads)
        } catch {
            logger.warning(
                "Heads cannot be measured; all of them look at the whole context.", metadata: ["error": "\(error)"])
            return nil
        }
    }
}
