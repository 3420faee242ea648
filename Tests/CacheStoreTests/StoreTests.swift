// SPDX-License-Identifier: Apache-2.0
import CacheSamples
import Crypto
import Foundation
import SeededRandom
import Testing

@testable import CacheStore

@Suite struct StoreTests {
    private static let secret = SymmetricKey(data: Array(0..<32) as [UInt8])

    @Test(arguments: [nil, StoreTests.secret]) func whatIsPublishedIsLoaded(_ secret: SymmetricKey?) throws {
        let folder = Folder(), document = SampleDocument(1)
        var settings = CacheSettings.roomy
        settings.secret = secret
        let store = try CacheStore(directory: folder.path, settings: settings)
        #expect(store.load(document).miss == .absent)
        for publication in try store.publish(document) {
            guard case .written(let bytes) = publication else {
                Issue.record("\(publication)")
                continue
            }
            #expect(bytes > 400)
        }
        #expect(try store.publish(document) == Array(repeating: .present, count: 5))
        // Another process, after a restart.
        let again = try CacheStore(directory: folder.path, settings: settings)
        let loaded = again.load(document)
        #expect(loaded.chunks.count == 5 && loaded.miss == nil && loaded.secondsSaved == 5)
        #expect(again.entries.count == 5 && again.bytes == store.bytes && again.id == store.id)
        for entry in again.entries { #expect(again.verify(entry.key) == .sound) }
        #expect(again.statistics.hits == 5 && again.statistics.bytesRead == store.bytes)
        let uses = again.takeUses()
        #expect(uses.count == 5 && uses.values.allSatisfy { $0.hits == 1 && $0.secondsSaved == 1 })
        #expect(again.takeUses().isEmpty)
    }

    @Test func filesAreForTheirUserAlone() throws {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: .roomy)
        try store.publish(SampleDocument(1))
        for name in folder.names {
            let rights = try FileManager.default.attributesOfItem(atPath: "\(folder.path)/\(name)")[.posixPermissions]
            #expect(rights as? Int == 0o600, "\(name)")
        }
        let rights = try FileManager.default.attributesOfItem(atPath: folder.path)[.posixPermissions]
        #expect(rights as? Int == 0o700)
        #expect(folder.temporaries.isEmpty)
    }

    @Test func documentsShareWhatTheyBeginWith() throws {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: .roomy)
        try store.publish(SampleDocument(4))
        let other = store.load(SampleDocument(5))
        #expect(other.chunks.count == 2 && other.miss == .absent)
        #expect(store.storedChunks(of: SampleDocument(5).chain(in: store)) == 2)
        #expect(store.load(SampleDocument(6)).chunks.isEmpty)
    }

    @Test func onlyWholeSegmentsAreChunks() throws {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: .roomy)
        let tokens = SampleDocument(1).tokens
        func chain(_ count: Int) -> ChunkChain {
            store.chain(SampleDocument.fingerprint(), segment: 16, tokens: Array(tokens.prefix(count)))
        }
        #expect(chain(15).count == 0 && store.load(chain(15)).miss == nil)
        #expect(chain(47).keys == chain(32).keys && chain(32).count == 2)
        #expect(chain(48).keys.prefix(2) == chain(32).keys[...])
    }

    /// What is left after whole segments is cut into shorter ones, each a chunk of its own; a text that fills no segment has none.
    @Test func shorterSegmentsFollowTheLastWholeOne() throws {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: .roomy)
        let tokens = SampleDocument(1).tokens
        func chain(_ count: Int) -> ChunkChain {
            store.chain(SampleDocument.fingerprint(), segment: 16, tail: 4, tokens: Array(tokens.prefix(count)))
        }
        #expect(chain(15).ends == [] && chain(19).ends == [16])
        #expect(chain(47).ends == [16, 32, 36, 40, 44] && chain(47).tokens.count == 44)
        #expect(chain(48).ends == [16, 32, 48])
        #expect(chain(41).keys == Array(chain(47).keys.prefix(4)))
        // The same place, but other tokens' rows: a whole segment is another chunk than the shorter ones there.
        #expect(Set(chain(47).keys).intersection(chain(48).keys) == Set(chain(32).keys))
        let whole = chain(47)
        for index in 0..<whole.count {
            try store.publish([CacheSection(id: 0, bytes: [UInt8(index)])], at: index, of: whole, prefillSeconds: 1)
        }
        let again = try CacheStore(directory: folder.path, settings: .roomy)
        #expect(again.load(whole).chunks.map { $0.sections[0].bytes } == [[0], [1], [2], [3], [4]])
        #expect(again.load(chain(40)).chunks.count == 4 && again.load(chain(48)).chunks.count == 2)
        for entry in again.entries { #expect(again.verify(entry.key) == .sound) }
    }

    /// Nothing that decides what a chunk holds can change and leave a hit.
    @Test func anyChangeIsAMiss() throws {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: .roomy)
        let document = SampleDocument(1), tokens = document.tokens
        try store.publish(document)
        func parts(_ index: Int, _ value: String) -> CacheFingerprint {
            var parts = ["w", "t", "c", "r"]
            parts[index] = value
            return CacheFingerprint(
                weights: parts[0], tokenizer: parts[1], compressor: parts[2], rope: parts[3], segment: 16)
        }
        #expect(store.load(store.chain(parts(0, "w"), segment: 16, tokens: tokens)).miss == nil)
        for index in 0..<4 {
            let loaded = store.load(store.chain(parts(index, "other"), segment: 16, tokens: tokens))
            #expect(loaded.chunks.isEmpty && loaded.miss == .fingerprint)
        }
        let more = CacheFingerprint(
            weights: "w", tokenizer: "t", compressor: "c", rope: "r", segment: 16, more: ["x": "y"])
        #expect(store.load(store.chain(more, segment: 16, tokens: tokens)).miss == .fingerprint)
        // A tenant does not learn what others have.
        #expect(store.load(document, salt: [1]).miss == .absent)
        #expect(store.load(store.chain(parts(0, "v"), salt: [1], segment: 16, tokens: tokens)).miss == .absent)
        for index in [0, 20, 79] {
            var changed = tokens
            changed[index] += 1
            let loaded = store.load(store.chain(parts(0, "w"), segment: 16, tokens: changed))
            #expect(loaded.chunks.count == index / 16 && loaded.miss == .absent)
        }
        #expect(store.statistics.misses == [.fingerprint: 5, .absent: 5])
        #expect(folder.names.filter { $0.hasSuffix(".chunk") }.count == 5)
    }

    /// Parts cannot be shifted from one to the next.
    @Test func fingerprintsTellPartsApart() {
        let a = CacheFingerprint(weights: "ab", tokenizer: "c", compressor: "", rope: "", segment: 1)
        let b = CacheFingerprint(weights: "a", tokenizer: "bc", compressor: "", rope: "", segment: 1)
        #expect(a != b && a.description.count == 64)
    }

    @Test func tenantsHaveChunksOfTheirOwn() throws {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: .roomy)
        try store.publish(SampleDocument(1), salt: [1])
        try store.publish(SampleDocument(1), salt: [2])
        #expect(store.entries.count == 10)
        #expect(store.load(SampleDocument(1), salt: [2]).chunks.count == 5)
        #expect(store.load(SampleDocument(1), salt: []).chunks.isEmpty)
    }

    @Test func encryptedFilesTellNothingWithoutTheKey() throws {
        let folder = Folder(), document = SampleDocument(1)
        var settings = CacheSettings.roomy
        settings.secret = Self.secret
        let store = try CacheStore(directory: folder.path, settings: settings)
        try store.publish(document)
        let plain = Data(document.sections(0)[0].bytes.prefix(24)),
            ids = document.tokens.prefix(6).withUnsafeBytes { Data($0) }
        for entry in store.entries {
            let file = try Data(contentsOf: URL(fileURLWithPath: store.directory.chunk(entry.key)))
            #expect(file.range(of: plain) == nil && file.range(of: ids) == nil)
        }
        let keyless = try CacheStore(directory: folder.path, settings: .roomy)
        #expect(keyless.entries.count == 5)
        #expect(keyless.load(document).miss == .absent)
        for entry in keyless.entries { #expect(keyless.verify(entry.key) == .locked) }
        settings.secret = SymmetricKey(size: .bits256)
        let other = try CacheStore(directory: folder.path, settings: settings)
        #expect(other.load(document).miss == .absent)
        #expect(store.load(document).chunks.count == 5)
    }

    @Test func keysComeFromTheEnvironment() throws {
        let text = Data(Array(0..<32)).base64EncodedString()
        let key = try #require(try CacheSettings.secret(in: ["DELTAKV_CACHE_KEY": text]))
        #expect(key == Self.secret)
        #expect(try CacheSettings.secret(in: [:]) == nil)
        for bad in ["x", "AAAA", text + "AA"] {
            #expect(throws: CacheError.self) { try CacheSettings.secret(in: ["DELTAKV_CACHE_KEY": bad]) }
        }
    }

    @Test func chunksFollowTheirParents() throws {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: .roomy)
        let document = SampleDocument(1), chain = document.chain(in: store)
        #expect(try store.publish(document.sections(1), at: 1, of: chain, prefillSeconds: 1) == .unreachable)
        #expect(folder.names.allSatisfy { !$0.hasSuffix(".chunk") })
    }

    @Test func hopelessChunksAreRefused() throws {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: .roomy)
        let chain = SampleDocument(1).chain(in: store), section = CacheSection(id: 1, bytes: [1])
        for sections in [[], [section, section]] {
            #expect(throws: CacheError.self) { try store.publish(sections, at: 0, of: chain, prefillSeconds: 1) }
        }
        #expect(throws: CacheError.self) { try store.publish([section], at: 0, of: chain, prefillSeconds: .nan) }
        #expect(throws: CacheError.self) { try CacheStore(directory: "relative", settings: .roomy) }
        #expect(throws: CacheError.self) { try CacheStore(directory: "/dev/null/x", settings: .roomy) }
    }

    /// Any number, size and kind of sections comes back as it was.
    @Test func sectionsOfAnySizeSurvive() throws {
        let folder = Folder()
        var random = SplitMix(state: 9), settings = CacheSettings.roomy
        for round in 0..<60 {
            settings.secret = round.isMultiple(of: 2) ? nil : Self.secret
            let store = try CacheStore(directory: folder.path, settings: settings)
            let chain = store.chain(
                SampleDocument.fingerprint(), segment: 1 + round,
                tokens: Array(repeating: Int32(round), count: 1 + round))
            let sections = (0..<1 + random.next() % 40).map { _ in
                let count = Int(random.next() % [1, 2, 20, 3000, 70_000][Int(random.next() % 5)]),
                    kind = random.next() % 3
                return CacheSection(
                    id: UInt32(truncatingIfNeeded: random.next()),
                    bytes: (0..<count).map { _ in
                        kind == 0 ? 7 : UInt8(truncatingIfNeeded: random.next() >> (kind == 1 ? 62 : 9))
                    })
            }
            let publication = try store.publish(sections, at: 0, of: chain, prefillSeconds: 0.25)
            let loaded = store.load(chain)
            #expect(publication == .written(bytes: loaded.chunks.first?.fileBytes ?? 0))
            #expect(loaded.chunks.first?.sections == sections && loaded.chunks.first?.prefillSeconds == 0.25)
        }
    }

    @Test func writingBehindKeepsTheOrderAndItsBound() async throws {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: .roomy)
        let document = SampleDocument(1, chunks: 30), chain = document.chain(in: store)
        let writer = CacheWriter(store: store) { result in
            if case .success(.written) = result { return }
            _ = Issue.record("\(result)")
        }
        for index in 0..<30 {
            #expect(writer.submit(document.sections(index), at: index, of: chain, prefillSeconds: 1))
        }
        await writer.flush()
        #expect(store.load(document).chunks.count == 30)
        let narrow = CacheWriter(store: store, bytes: 1)
        let other = SampleDocument(3).chain(in: store)
        let accepted = (0..<50).count { _ in narrow.submit(document.sections(0), at: 0, of: other, prefillSeconds: 1) }
        await narrow.flush()
        #expect(accepted >= 1 && store.statistics.refused == 50 - accepted)
    }
}
