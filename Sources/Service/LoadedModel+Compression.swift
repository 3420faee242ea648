// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Compression
import Engine
import Kernels
import Logging

/// What an engine does with the cache directory.
public enum CacheAccess: Sendable {
    /// Nothing: what is computed is kept in memory only.
    case none
    /// Looks there for segments of prompts, as long as there is a cache, and adds none.
    case read
    /// Keeps segments of prompts there.
    case readAndWrite
}

extension LoadedModel {
    /// Stands for the model and all settings that decide what it computes.
    ///
    /// - Parameters:
    ///   - model: The digest of the model's files, its tokenizer among them.
    ///   - compressor: The digest of the codec, or what takes its place.
    /// - Throws: `KernelError` if `DELTAKV_ISA` is wrong.
    func fingerprint(
        model digest: String, compressor: String, settings: Settings
    ) throws(KernelError) -> CacheFingerprint {
        let c = model.configuration
        return CacheFingerprint(
            weights: digest, tokenizer: digest, compressor: compressor,
            rope: "\(c.ropeTheta) \(c.ropeScaling) \(c.contextLength)", segment: PromptCompression.segmentTokens,
            more: [
                "tail": "\(PromptCompression.tailTokens)", "weights": settings.weights.rawValue,
                "kv": "\(settings.engine.kvDataType)", "kv revision": "\(KVLayout.revision)",
                // The last bits of floating-point sums depend on it.
                "instructions": "\(try InstructionSet.fromEnvironment())",
            ])
    }

    /// How an engine compresses prompts with this model's codec.
    ///
    /// - Parameters:
    ///   - compressor: Made for this model.
    ///   - settings: Those that the engine will have; they decide, too, what segments come to.
    ///   - store: Where segments are looked for and kept.
    ///   - writes: Whether they are kept.
    ///   - report: Told of segments that cannot be stored.
    /// - Throws: `KernelError` if `DELTAKV_ISA` is wrong.
    private func compression(
        with compressor: Compressor, settings: Settings, store: CacheStore?, writes: Bool, report: StoreReport
    ) throws(KernelError) -> PromptCompression {
        let fingerprint = try fingerprint(
            model: compressor.modelDigest, compressor: CompressorFile.digest(of: compressor), settings: settings)
        return PromptCompression(
            compressor: compressor, fingerprint: fingerprint, store: store, writes: writes,
            report: { report.note($0) })
    }

    /// Starts the engine that the settings ask for; with `kv.policy` deltakv on the model's compressor, which is made if there
    /// is none. What is not yet known of the model's heads is measured.
    ///
    /// - Parameters:
    ///   - path: The model's file.
    ///   - cache: What it does with the cache directory.
    ///   - documents: The user's first documents, asked for only if a compressor is to be made.
    /// - Throws: `CacheError`; what ``CompressorProvider/compressor(for:path:documents:)`` and the engine throw.
    public func engine(
        _ settings: Settings, path: String, installation: Installation, cache: CacheAccess = .readAndWrite,
        logger: Logger,
        documents: () async throws -> [String] = { [] }
    ) async throws -> GenerationEngine {
        var settings = settings
        settings.engine.sparse = try attention(settings, path: path, installation: installation, logger: logger)
        guard settings.kvPolicy == .deltakv else { return try engine(settings.engine) }
        let provider = CompressorProvider(sample: installation.calibrationSample, logger: logger)
        let compressor = try await provider.compressor(for: self, path: path, documents: documents)
        let isOpened = cache == .readAndWrite || cache == .read && settings.cache.exists
        let store = isOpened ? try settings.cache.open() : nil
        return try engine(
            settings.engine,
            compression: compression(
                with: compressor, settings: settings, store: store, writes: cache == .readAndWrite,
                report: StoreReport(logger: logger)))
    }
}
