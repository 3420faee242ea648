// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Compression
import Engine
import Kernels
import Logging

extension LoadedModel {
    /// How an engine compresses prompts with this model's codec.
    ///
    /// - Parameters:
    ///   - compressor: Made for this model.
    ///   - settings: Those that the engine will have; they decide, too, what segments come to.
    ///   - store: Where segments are kept.
    ///   - report: Told of segments that cannot be stored.
    /// - Throws: `KernelError` if `DELTAKV_ISA` is wrong.
    private func compression(
        with compressor: Compressor, settings: Settings, store: CacheStore?, report: StoreReport
    ) throws(KernelError) -> PromptCompression {
        let c = model.configuration
        let fingerprint = CacheFingerprint(
            // The model's digest covers its tokenizer.
            weights: compressor.modelDigest, tokenizer: compressor.modelDigest,
            compressor: CompressorFile.digest(of: compressor),
            rope: "\(c.ropeTheta) \(c.ropeScaling) \(c.contextLength)", segment: PromptCompression.segmentTokens,
            more: [
                "weights": settings.weights.rawValue, "kv": "\(settings.engine.kvDataType)",
                // The last bits of floating-point sums depend on it.
                "instructions": "\(try InstructionSet.fromEnvironment())",
            ])
        return PromptCompression(
            compressor: compressor, fingerprint: fingerprint, store: store, report: { report.note($0) })
    }

    /// Starts the engine that the settings ask for; with `kv.policy` deltakv on the model's compressor, which is made if there
    /// is none.
    ///
    /// - Parameters:
    ///   - path: The model's file.
    ///   - keeps: Whether segments of prompts are kept in the cache directory.
    ///   - documents: The user's first documents, asked for only if a compressor is to be made.
    /// - Throws: `CacheError`; what ``CompressorProvider/compressor(for:path:documents:)`` and the engine throw.
    public func engine(
        _ settings: Settings, path: String, installation: Installation, keeps: Bool = true, logger: Logger,
        documents: () async throws -> [String] = { [] }
    ) async throws -> GenerationEngine {
        guard settings.kvPolicy == .deltakv else { return try engine(settings.engine) }
        let provider = CompressorProvider(sample: installation.calibrationSample, logger: logger)
        let compressor = try await provider.compressor(for: self, path: path, documents: documents)
        let store = keeps ? try settings.cache.open() : nil
        return try engine(
            settings.engine,
            compression: compression(
                with: compressor, settings: settings, store: store, report: StoreReport(logger: logger)))
    }
}
