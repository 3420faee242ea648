// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Compression
import Engine
import Foundation
import Logging
import ModelFiles
import TestSupport
import Testing
import Tokenization

@testable import Service

/// What cached prompts depend on, with model files that differ in one thing, read by the loader that daemons use.
@Suite(.serialized) struct CacheIdentityTests {
    /// A model folder that is changed, and a cache directory that all share.
    private struct Place {
        let folder: String

        var cache: String { folder + "/cache" }

        /// A copy of the tiny model, with a context of 8,192 tokens.
        func model(_ name: String, _ change: (String) throws -> Void = { _ in }) throws -> String {
            let golden = #filePath.replacing(/ServiceTests.*/, with: "CommandTests/Golden/tiny-qwen2")
            let path = "\(folder)/\(name)"
            try FileManager.default.copyItem(atPath: golden, toPath: path)
            try edit("\(path)/config.json", #""max_position_embeddings": 1024"#, #""max_position_embeddings": 8192"#)
            try change(path)
            return path
        }

        /// Puts one text in another's place, where it stands once.
        func edit(_ path: String, _ part: String, _ other: String) throws {
            let file = URL(fileURLWithPath: path), text = try String(contentsOf: file, encoding: .utf8)
            try #require(text.ranges(of: part).count == 1, "\(path): \(part)")
            try text.replacing(part, with: other).write(to: file, atomically: false, encoding: .utf8)
        }

        /// Runs a request as a daemon that has just started would.
        func run(
            _ request: GenerationRequest, model path: String, cache access: CacheAccess = .readAndWrite,
            flags: [Settings.Key: String] = [:]
        ) async throws -> Generation {
            let own: [Settings.Key: String] = [
                .kvPolicy: "deltakv", .cacheDirectory: cache, .cacheFreeFloor: "1MiB", .kvMemory: "64MiB",
                .threads: "1",
            ]
            let settings = try await Settings.load(flags: own.merging(flags) { $1 }, environment: [:])
            let loaded = try LoadedModel(path: path, weights: settings.weights, threads: settings.threads)
            let engine = try await loaded.engine(
                settings, path: path, installation: Installation(), cache: access, logger: quietLogger)
            defer { engine.stop() }
            let generation = try await engine.generate(request)
            await engine.flush()
            return generation
        }
    }

    private func withPlace(_ body: (Place) async throws -> Void) async throws {
        let folder = NSTemporaryDirectory() + "deltakv-identity-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try await body(Place(folder: folder))
    }

    /// Tokens that are in the tiny model's vocabulary, other ones for each seed.
    private func tokens(_ count: Int, seed: Int = 0) -> [TokenID] {
        (0..<count).map { TokenID(3 + ($0 * 31 + $0 / 7 * 5 + seed * 97) % 370) }
    }

    @Test func oneChangedThingFindsNothing() async throws {
        try await withPlace { place in
            var request = GenerationRequest(prompt: tokens(600), maxTokens: 4)
            request.cacheSalt = [1]
            let model = try place.model("original")
            #expect(try await place.run(request, model: model).cachedTokens == 0)
            // Nothing but the path is changed: everything is found, and so is everything after each of the changes below.
            let copy = place.folder + "/copy"
            try FileManager.default.copyItem(atPath: model, toPath: copy)
            try FileManager.default.copyItem(atPath: model + ".deltakv", toPath: copy + ".deltakv")
            func expectAll(_ after: String) async throws {
                #expect(try await place.run(request, model: copy).cachedTokens == 576, "\(after)")
            }
            try await expectAll("a copy")

            let weight = try place.model("weight") { path in
                let file = URL(fileURLWithPath: path + "/model.safetensors")
                var bytes = try Data(contentsOf: file)
                // The lowest bit of the last half-precision number.
                bytes[bytes.count - 2] ^= 1
                try bytes.write(to: file)
            }
            // Two merges in the other order: texts may make other tokens, and these tokens mean what they meant.
            let tokenizer = try place.model("tokenizer") { path in
                func merges(_ first: String, _ second: String) -> String {
                    #""Ġ",\n        "\#(first)"\n      ],\n      [\n        "Ġ",\n        "\#(second)""#
                        .replacing(#"\n"#, with: "\n")
                }
                try place.edit(path + "/tokenizer.json", merges("n", "f"), merges("f", "n"))
            }
            let rope = try place.model("rope") { path in
                try place.edit(path + "/config.json", #""rope_theta": 10000.0"#, #""rope_theta": 10001.0"#)
            }
            for (name, path) in [("weight", weight), ("tokenizer", tokenizer), ("rope", rope)] {
                #expect(try await place.run(request, model: path).cachedTokens == 0, "\(name)")
                try await expectAll(name)
            }

            let codec = try place.model("codec"), digest = try ModelFile(path: codec).digest()
            let made = try CompressorFile.load(path: model + ".deltakv", forModelDigest: digest)
            let loaded = try LoadedModel(path: codec, weights: .native, threads: 1)
            var coarser = made.settings
            coarser.step *= 1.01
            let text = try String(contentsOfFile: Installation().calibrationSample, encoding: .utf8)
            let calibration = Calibration(
                model: loaded.model, modelDigest: digest, settings: coarser, threads: loaded.threads)
            try CompressorFile.save(
                calibration.run([Array(loaded.tokenizer.encode(text).prefix(4000))]) { _ in }.compressor,
                path: codec + ".deltakv")
            #expect(try await place.run(request, model: codec).cachedTokens == 0, "codec")
            try await expectAll("codec")

            for (key, value) in [(Settings.Key.kvType, "f16"), (.weights, "float32")] {
                #expect(
                    try await place.run(request, model: copy, flags: [key: value]).cachedTokens == 0, "\(key.rawValue)")
                try await expectAll(key.rawValue)
            }
            for salt: [UInt8] in [[], [2], [1, 0]] {
                var other = request
                other.cacheSalt = salt
                let generation = try await place.run(other, model: copy)
                #expect(generation.cachedTokens == 0 && generation.miss == .absent, "salt \(salt)")
                try await expectAll("salt \(salt)")
            }
        }
    }

    /// A prompt that has 5,000 tokens of 7,000 in common with one that ran before the restart.
    @Test func allWholeSegmentsThatAreSharedAreReused() async throws {
        try await withPlace { place in
            let model = try place.model("model"), document = tokens(7000)
            let first = GenerationRequest(prompt: document, maxTokens: 4)
            #expect(try await place.run(first, model: model).cachedTokens == 0)
            #expect(try await place.run(first, model: model).cachedTokens == 6999 / 64 * 64)
            let other = tokens(2000, seed: 4)
            try #require(other.first != document[5000])
            let second = GenerationRequest(prompt: document.prefix(5000) + other, maxTokens: 24)
            let reused = try await place.run(second, model: model)
            #expect(reused.cachedTokens == 5000 / 256 * 256 && reused.cachedTokens == 4864)
            #expect(reused.miss == .absent && reused.secondsSaved > 0)
            let fresh = try await place.run(second, model: model, cache: .none)
            #expect(fresh.cachedTokens == 0 && fresh.choices == reused.choices)
            // Who may only look finds the same, and adds nothing.
            let third = GenerationRequest(prompt: document.prefix(3000) + other, maxTokens: 4)
            for _ in 0..<2 {
                #expect(try await place.run(third, model: model, cache: .read).cachedTokens == 3000 / 256 * 256)
            }
        }
    }

    /// What a job's usage says of the cache, and why it found no more.
    @Test func whatWasSavedAndWhyNotMoreIsTold() async throws {
        try await withPlace { place in
            let model = try place.model("model"), request = GenerationRequest(prompt: tokens(900), maxTokens: 8)
            let fresh = try await place.run(request, model: model)
            #expect(fresh.cachedTokens == 0 && fresh.miss == .absent && fresh.secondsSaved == 0)
            let found = try await place.run(request, model: model)
            #expect(found.cachedTokens == 896 && found.miss == nil)
            #expect(found.secondsSaved > 0 && found.secondsSaved <= fresh.prefillSeconds)
            // No segment of it could have been found.
            let short = GenerationRequest(prompt: tokens(256), maxTokens: 2)
            #expect(try await place.run(short, model: model).miss == nil)
            let store = try CacheStore(directory: place.cache)
            let chunk = try #require(store.entries.first { $0.index == 1 })
            let file = URL(fileURLWithPath: "\(place.cache)/\(chunk.key).chunk")
            var bytes = try Data(contentsOf: file)
            bytes[bytes.count - 9] ^= 1
            try bytes.write(to: file)
            let partly = try await place.run(request, model: model)
            #expect(partly.miss == .checksum && partly.cachedTokens == 256 && partly.choices == fresh.choices)
            #expect(partly.secondsSaved > 0 && partly.secondsSaved < found.secondsSaved)
            // It was written anew.
            let again = try await place.run(request, model: model)
            #expect(again.cachedTokens == 896 && again.miss == nil && again.choices == fresh.choices)
        }
    }
}
