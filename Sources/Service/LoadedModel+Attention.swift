// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Kernels
import Logging
import ModelFiles

extension LoadedModel {
    /// What generated tokens attend to under settings: their share of tokens, and the heads of this model that see the ends of their
    /// context only. Which these are is measured once, in seconds, and kept in a file.
    ///
    /// - Parameter path: The model's file.
    /// - Throws: The model's error.
    public func attention(
        _ settings: Settings, path: String, installation: Installation, logger: Logger
    ) throws -> SparseAttention? {
        guard var sparse = settings.engine.sparse, settings.usesLocalHeads, settings.engine.kvDataType == .int8,
            model.configuration.contextLength >= HeadReach.leastContext
        else { return settings.engine.sparse }
        let digest = try ModelFile(path: path).digest()
        let file = HeadReachFile.places(model: path, digest: digest)
        let found = file.read.lazy.compactMap { HeadReachFile.read($0, model: digest) }.first(where: isOfThisShape)
        sparse.local = try (found ?? measured(digest, file, installation, logger))?.local() ?? []
        return sparse
    }

    private func isOfThisShape(_ reach: HeadReach) -> Bool {
        let c = model.configuration
        return reach.costs.count == c.layers && reach.costs.allSatisfy { $0.count == c.kvHeads }
    }

    /// Measures how far heads look; nil where the sample is too little text.
    private func measured(
        _ digest: String, _ file: ModelCompanion, _ installation: Installation, _ logger: Logger
    ) throws -> HeadReach? {
        let sample = installation.calibrationSample
        let tokens = (try? String(contentsOfFile: sample, encoding: .utf8)).map { tokenizer.encode($0) } ?? []
        guard tokens.count >= HeadReach.leastTokens else {
            logger.warning(
                "Heads cannot be measured; all of them look at the whole context.",
                metadata: ["file": "\(sample)", "tokens": "\(tokens.count)"])
            return nil
        }
        logger.notice("Measuring how far back the model's heads look, once.")
        let reach = try HeadReach(of: model, on: tokens, threads: threads)
        do {
            try HeadReachFile(reach, model: digest).write(to: file.write)
        } catch {
            logger.warning("The measurement cannot be kept.", metadata: ["error": "\(error)"])
        }
        return reach
    }
}
