// SPDX-License-Identifier: Apache-2.0

import Compression
import Foundation
import Logging
import Synchronization
import Testing

@testable import Service

/// Compressors made by themselves, for the real default model.
@Suite(.serialized) struct CompressorProviderTests {
    /// Keeps what is logged.
    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])

        var all: [String] { lines.withLock { $0 } }
        func count(_ text: String) -> Int { all.count { $0.contains(text) } }

        var logger: Logger {
            Logger(label: "test") { _ in Handler(lines: self) }
        }

        struct Handler: LogHandler {
            let lines: Lines
            var metadata: Logger.Metadata = [:]
            var logLevel = Logger.Level.info

            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }

            func log(event: LogEvent) {
                let fields = (event.metadata ?? [:]).map { " \($0.key)=\($0.value)" }.sorted().joined()
                lines.lines.withLock { $0.append("\(event.level) \(event.message)\(fields)") }
            }
        }
    }

    private static let modelPath =
        ProcessInfo.processInfo.environment["DELTAKV_TEST_MODEL"]
        ?? NSHomeDirectory() + "/.cache/deltakv/models/smollm2-135m-instruct-q4_1.gguf"
    private static let loaded = Result { try LoadedModel(path: modelPath, weights: .native, threads: 0) }

    /// A folder of its own with the model in it.
    private func withModel(_ body: (LoadedModel, _ model: String, _ folder: String) async throws -> Void) async throws {
        try #require(
            FileManager.default.fileExists(atPath: Self.modelPath),
            "No test model at \(Self.modelPath): run ops/test, which fetches it.")
        let folder = NSTemporaryDirectory() + "deltakv-provider-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: folder + "/model.gguf", withDestinationPath: Self.modelPath)
        try await body(try Self.loaded.get(), folder + "/model.gguf", folder)
    }

    private func provider(_ folder: String, _ sample: String, _ lines: Lines) throws -> CompressorProvider {
        try Data(sample.utf8).write(to: URL(fileURLWithPath: folder + "/sample.txt"))
        return CompressorProvider(
            sample: folder + "/sample.txt", fallbackDirectory: folder + "/other",
            settings: CodecSettings(prototypes: 16), logger: lines.logger)
    }

    /// A little more than calibration needs at least.
    private static let shortText = (0..<190).map {
        "Line \($0): the ferry to island \($0 % 7) leaves at \($0 % 24) o'clock."
    }.joined(separator: "\n")

    @Test func twoThatAskAtOnceGetOneCompressor() async throws {
        try await withModel { loaded, model, folder in
            let lines = Lines(), provider = try provider(folder, Self.shortText, lines)
            async let first = provider.compressor(for: loaded, path: model) { [] }
            async let second = provider.compressor(for: loaded, path: model) { [] }
            let found = try await [first, second]
            #expect(found[0].modelDigest == found[1].modelDigest && found[0].layers.count == 30)
            #expect(lines.count("calibrating, once") == 1 && lines.count("info Calibrated.") == 1, "\(lines.all)")
            #expect(lines.count("Using the compressor") == 1 && lines.count("Calibrating. layers=") >= 2)
            #expect(
                try Set(FileManager.default.contentsOfDirectory(atPath: folder))
                    == ["model.gguf", "model.deltakv", "model.deltakv.lock", "sample.txt"])
            // Documents are not asked for when there is a compressor.
            _ = try await provider.compressor(for: loaded, path: model) { throw CancellationError() }
            #expect(lines.count("calibrating, once") == 1)
            // Damaged, it is made again.
            let file = URL(fileURLWithPath: folder + "/model.deltakv"), good = try Data(contentsOf: file)
            try good.dropLast(100).write(to: file)
            _ = try await provider.compressor(for: loaded, path: model) { [] }
            #expect(lines.count("warning A compressor cannot be used") == 1 && lines.count("calibrating, once") == 2)
            #expect(try Data(contentsOf: file) == good)
        }
    }

    @Test func tooFewDocumentsAreToppedUpWithTheSample() async throws {
        try await withModel { loaded, model, folder in
            // Both are needed to reach the least that calibration takes; neither is enough.
            let lines = Lines(), provider = try provider(folder, String(Self.shortText.prefix(2000)), lines)
            await #expect(throws: CompressionError.self) {
                try await provider.compressor(for: loaded, path: model) { ["A short document.", ""] }
            }
            struct Unreachable: Error {}
            await #expect(throws: CompressionError.self) {
                try await provider.compressor(for: loaded, path: model) { throw Unreachable() }
            }
            #expect(lines.count("warning Documents cannot be read") == 1)
            let counts = lines.all.filter { $0.contains("calibrating, once") }
            #expect(counts.count == 2 && counts.allSatisfy { $0.contains("texts=1") }, "\(counts)")
            // A failure leaves the lock free and no file.
            #expect(!FileManager.default.fileExists(atPath: folder + "/model.deltakv"))
            #expect(try FileLock.tryAcquire(folder + "/model.deltakv.lock") != nil)
            try FileManager.default.removeItem(atPath: folder + "/sample.txt")
            await #expect(throws: SettingsError.self) {
                try await provider.compressor(for: loaded, path: model) { [] }
            }
        }
    }

    /// Who waits for another process can be told to stop.
    @Test func waitingEndsWhenItIsCancelled() async throws {
        try await withModel { loaded, model, folder in
            let lines = Lines(), provider = try provider(folder, "", lines)
            let held = try FileLock.tryAcquire(folder + "/model.deltakv.lock")
            let waiting = Task { try await provider.compressor(for: loaded, path: model) { [] } }
            while lines.count("waiting") == 0 { try await Task.sleep(for: .milliseconds(20)) }
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
            withExtendedLifetime(held) {}
        }
    }

    @Test func aModelInAFolderThatCannotBeWrittenHasItsCompressorElsewhere() {
        let provider = CompressorProvider(
            sample: "", fallbackDirectory: NSTemporaryDirectory() + "deltakv-fallback", logger: Lines().logger)
        let places = provider.places(model: "/no/such/folder/model.gguf", digest: String(repeating: "a", count: 64))
        #expect(places.write == NSTemporaryDirectory() + "deltakv-fallback/aaaaaaaaaaaaaaaa.deltakv")
        #expect(places.read.first == "/no/such/folder/model.deltakv" && places.read.last == places.write)
        try? FileManager.default.removeItem(atPath: NSTemporaryDirectory() + "deltakv-fallback")
    }

    @Test func theShippedSampleIsEnough() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let installation = try Installation(environment: ["DELTAKV_SHARE": root.path])
        let text = try String(contentsOfFile: installation.calibrationSample, encoding: .utf8)
        #expect(try Self.loaded.get().tokenizer.encode(text).count > 2 * Calibration.leastTokens)
        // Templates and samples share a folder.
        #expect(try TemplateLibrary(directory: installation.jobs).names.contains("summarize"))
    }

    @Test func locksExcludeAndEnd() throws {
        let path = NSTemporaryDirectory() + "deltakv-lock-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        do {
            let held = try FileLock.tryAcquire(path)
            #expect(held != nil)
            #expect(try FileLock.tryAcquire(path) == nil)
            withExtendedLifetime(held) {}
        }
        #expect(try FileLock.tryAcquire(path) != nil)
        #expect(throws: SettingsError.self) { _ = try FileLock.tryAcquire("/no/such/folder/x.lock") }
    }
}
