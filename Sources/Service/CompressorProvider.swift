// SPDX-License-Identifier: Apache-2.0

import Compression
import Foundation
import Logging
import ModelFiles

/// Gets the compressor of a model: the one that lies beside it, or else a new one, calibrated on the user's own first documents
/// and, where these are too few, on a sample that comes with the program.
///
/// Several daemons may ask at once: one calibrates under a file lock, the others wait and then read what it wrote.
public struct CompressorProvider: Sendable {
    /// Tokens of text that calibration uses at most, and how many of the user's own make the sample unnecessary.
    static let mostTokens = 20_000, enoughTokens = 8_000

    private let sample: String
    private let fallbackDirectory: String
    private let settings: CodecSettings
    private let logger: Logger

    /// A provider.
    ///
    /// - Parameters:
    ///   - sample: The text file that stands in for documents.
    ///   - fallbackDirectory: Where compressors of models lie whose own folder cannot be written.
    ///   - settings: How new compressors are made.
    public init(
        sample: String, fallbackDirectory: String = ModelStore().directory, settings: CodecSettings = CodecSettings(),
        logger: Logger
    ) {
        self.sample = sample
        self.fallbackDirectory = fallbackDirectory
        self.settings = settings
        self.logger = logger
    }

    /// The compressor of a model.
    ///
    /// A compressor that is damaged, of another version or made for other weights is replaced, with a warning.
    ///
    /// - Parameters:
    ///   - loaded: The model, loaded.
    ///   - path: Its file.
    ///   - documents: The user's first documents, asked for only if there is no compressor. If they cannot be read, the sample
    ///     alone is used, with a warning.
    /// - Throws: `CompressionError`, `GGUFError`, the model's error, ``SettingsError`` where the sample is missing, or
    ///   `CancellationError` while waiting for another process.
    public func compressor(
        for loaded: LoadedModel, path: String, documents: () async throws -> [String]
    ) async throws -> Compressor {
        let digest = try ModelFile(path: path).digest(), places = places(model: path, digest: digest)
        if let found = existing(in: places.read, digest, isFirstLook: true) { return found }
        var hasWaited = false
        while true {
            if let lock = try FileLock.tryAcquire(places.write + ".lock") {
                defer { withExtendedLifetime(lock) {} }
                // Another process may have been faster.
                if let found = existing(in: places.read, digest, isFirstLook: false) { return found }
                return try await calibrate(loaded, digest, writingTo: places.write, documents: documents)
            }
            if !hasWaited {
                logger.info("Another process makes the compressor; waiting.", metadata: ["file": "\(places.write)"])
            }
            hasWaited = true
            try await Task.sleep(for: .milliseconds(200))
            if let found = existing(in: places.read, digest, isFirstLook: false) { return found }
        }
    }

    /// Where a model's compressor lies.
    func places(model path: String, digest: String) -> ModelCompanion {
        ModelCompanion(
            beside: CompressorFile.path(forModel: path), digest: digest, fallbackDirectory: fallbackDirectory)
    }

    private func existing(in places: [String], _ digest: String, isFirstLook: Bool) -> Compressor? {
        for path in places where FileManager.default.fileExists(atPath: path) {
            do throws(CompressionError) {
                let compressor = try CompressorFile.load(path: path, forModelDigest: digest)
                logger.info("Using the compressor.", metadata: ["file": "\(path)"])
                return compressor
            } catch {
                guard isFirstLook else { continue }
                logger.warning("A compressor cannot be used; making a new one.", metadata: ["error": "\(error)"])
            }
        }
        return nil
    }

    private func calibrate(
        _ loaded: LoadedModel, _ digest: String, writingTo path: String, documents: () async throws -> [String]
    ) async throws -> Compressor {
        let texts = try await texts(loaded, documents)
        logger.notice(
            "No compressor for this model yet; calibrating, once.",
            metadata: ["tokens": "\(texts.reduce(0) { $0 + $1.count })", "texts": "\(texts.count)"])
        let start = ContinuousClock.now
        let calibration = Calibration(
            model: loaded.model, modelDigest: digest, settings: settings, threads: loaded.threads)
        var quarters = 0
        let result = try calibration.run(texts + RecallPieces.make(from: texts)) { progress in
            guard case .layers(let done, let all) = progress, 4 * done / all > quarters else { return }
            quarters = 4 * done / all
            logger.info("Calibrating.", metadata: ["layers": "\(done) of \(all)"])
        }
        try CompressorFile.save(result.compressor, path: path)
        let bits = result.layers.reduce(0) { $0 + $1.ratio } / Double(result.layers.count)
        logger.info(
            "Calibrated.",
            metadata: [
                "seconds": "\((ContinuousClock.now - start).components.seconds)", "file": "\(path)",
                "share_of_f16": "\(Int((1000 * bits).rounded()) / 10) %",
            ])
        return result.compressor
    }

    /// Pieces of the user's documents and, unless these are enough, of the sample.
    private func texts(_ loaded: LoadedModel, _ documents: () async throws -> [String]) async throws -> [[Int32]] {
        var own: [String] = []
        do {
            own = try await documents()
        } catch let error as CancellationError {
            throw error
        } catch {
            logger.warning("Documents cannot be read; calibrating on the sample.", metadata: ["error": "\(error)"])
        }
        let encoded = own.map { loaded.tokenizer.encode($0) }
        // Pieces below this length teach nothing about long texts and are passed over by calibration.
        let usable = encoded.filter { $0.count >= 64 }
        guard usable.reduce(0, { $0 + $1.count }) < Self.enoughTokens else {
            return CalibrationPieces.cut(usable, limit: Self.mostTokens)
        }
        guard let text = try? String(contentsOfFile: sample, encoding: .utf8) else {
            throw SettingsError(
                description: "the text \(sample), which calibration needs, cannot be read: is the installation whole?")
        }
        return CalibrationPieces.cut(usable + [loaded.tokenizer.encode(text)], limit: Self.mostTokens)
    }
}
