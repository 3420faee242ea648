// SPDX-License-Identifier: Apache-2.0
import CacheSamples
import Crypto
import Foundation
import SeededRandom
import Testing

@testable import CacheStore

/// Files that are damaged in any way: a counted miss, never wrong bytes, never a crash. `ops/fuzz cache` runs 100,000 of them, the
/// suite a few thousand. An input's number is its seed.
@Suite struct DamageTests {
    private static func setting(_ name: String, default fallback: UInt64) -> UInt64 {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } ?? fallback
    }

    @Test(arguments: [false, true]) func damageIsAMiss(isEncrypted: Bool) throws {
        let first = Self.setting("DELTAKV_FUZZ_SEED", default: 0)
        let inputs = Self.setting("DELTAKV_FUZZ_INPUTS", default: 4000) / 2
        let folder = Folder(), document = SampleDocument(2, chunks: 3)
        var settings = CacheSettings.roomy
        if isEncrypted { settings.secret = SymmetricKey(data: Array(1...32) as [UInt8]) }
        let store = try CacheStore(directory: folder.path, settings: settings), chain = document.chain(in: store)
        try store.publish(document)
        let good = try chain.keys.map { try contents(store.directory.chunk($0)) }
        let foreign = try Self.foreignFiles(document, settings) + good
        var reasons: [CacheMiss: Int] = [:]
        for input in first..<first + inputs {
            var damage = Damage(good: good, foreign: foreign, seed: input)
            let (index, bytes) = damage.next()
            guard bytes != good[index] else { continue }
            try put(bytes, store.directory.chunk(chain.keys[index]))
            let before = store.statistics.misses.values.reduce(0, +)
            let loaded = store.load(document)
            #expect(loaded.chunks.count == index, "input \(input)")
            #expect(store.statistics.misses.values.reduce(0, +) == before + 1, "input \(input)")
            let reason = try #require(loaded.miss, "input \(input)")
            #expect(reason.isDamage, "input \(input): \(reason)")
            reasons[reason, default: 0] += 1
            // What was damaged is out of the way and comes anew.
            #expect(!store.directory.exists(chain.keys[index]), "input \(input)")
            try put(good[index], store.directory.chunk(chain.keys[index]))
        }
        #expect(store.load(document).miss == nil)
        print(
            "\(isEncrypted ? "encrypted" : "plain"): \(inputs) files, \(reasons.map { "\($0.key) \($0.value)" }.sorted())"
        )
        if inputs >= 1000 { #expect(Set(reasons.keys) == [.partial, .checksum, .format, .fingerprint, .salt]) }
    }

    /// Headers with wrong numbers and a right checksum: no crash, no memory by what they say, and the right bytes or none.
    @Test func forgedHeadersDoNoHarm() throws {
        let first = Self.setting("DELTAKV_FUZZ_SEED", default: 0)
        let inputs = Self.setting("DELTAKV_FUZZ_INPUTS", default: 4000) / 2
        let folder = Folder(), document = SampleDocument(2, chunks: 1)
        let store = try CacheStore(directory: folder.path, settings: .roomy), chain = document.chain(in: store)
        try store.publish(document)
        let path = store.directory.chunk(chain.keys[0]), good = try contents(path)
        let table = ChunkHeader.fixedBytes + 4 * SampleDocument.segment, header = try ChunkHeader(of: good).bytes
        var hits = 0
        for input in first..<first + inputs {
            var random = SplitMix(state: input), bytes = good
            for _ in 0...Int(random.next() % 3) {
                let places =
                    [12, 16, 24, 28, 32, 36, 40, 48, 56] + [0, 4, 8, 16, 24, 40, 48, 64, 72, 88, 96].map { table + $0 }
                let borders: [UInt64] = [
                    0, 1, 2, 0x7fff_ffff, 0xffff_ffff, 1 << 30, 1 << 32, 1 << 62, .max >> 1, 1 << 63, .max,
                    random.next(),
                ]
                let place = places[Int(random.next() % UInt64(places.count))], value = borders[Int(random.next() % 12)]
                for byte in 0..<(place < 40 && place != 16 ? 4 : 8) {
                    bytes[place + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
                }
            }
            bytes.replaceSubrange(header - 32..<header, with: Array(SHA256.hash(data: bytes[..<(header - 32)])))
            try put(bytes, path)
            let loaded = store.load(chain)
            if let chunk = loaded.chunks.first {
                hits += 1
                #expect(chunk.sections.map(\.bytes) == document.sections(0).map(\.bytes), "input \(input)")
            } else {
                #expect(loaded.miss != nil)
            }
            _ = store.verify(chain.keys[0])
        }
        // A few may all be of one kind, as when a single one is looked at again.
        if inputs >= 1000 { #expect(hits > 0 && hits < Int(inputs)) }
    }

    /// Whole chunks that belong elsewhere: to another model, tenant or text.
    private static func foreignFiles(_ document: SampleDocument, _ settings: CacheSettings) throws -> [[UInt8]] {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: settings)
        try store.publish(document, salt: [9])
        try store.publish(SampleDocument(100, chunks: 2))
        let chain = store.chain(
            SampleDocument.fingerprint(weights: "other"), segment: SampleDocument.segment, tokens: document.tokens)
        for index in 0..<chain.count {
            _ = try store.publish(document.sections(index), at: index, of: chain, prefillSeconds: 1)
        }
        return try store.entries.sorted { $0.key.description < $1.key.description }
            .map { try contents(store.directory.chunk($0.key)) }
    }
}

/// Damages one of several good files.
private struct Damage {
    let good: [[UInt8]]
    let foreign: [[UInt8]]
    var random: SplitMix

    init(good: [[UInt8]], foreign: [[UInt8]], seed: UInt64) {
        self.good = good
        self.foreign = foreign
        random = SplitMix(state: seed)
    }

    private mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(max(1, bound))) }

    mutating func next() -> (index: Int, bytes: [UInt8]) {
        let index = below(good.count)
        var bytes = good[index]
        for _ in 0...below(3) { damage(&bytes, index) }
        return (index, bytes)
    }

    private mutating func damage(_ bytes: inout [UInt8], _ index: Int) {
        guard !bytes.isEmpty else { return bytes.append(1) }
        // As likely in the header as anywhere.
        let place = below(below(2) == 0 ? bytes.count : min(bytes.count, 512))
        switch below(11) {
        case 0, 1: bytes[place] ^= 1 << UInt8(below(8))
        case 2: bytes.removeSubrange(place...)
        case 3: bytes.removeSubrange(place..<min(bytes.count, place + 1 + below(64)))
        case 4: bytes.append(contentsOf: (0...below(40)).map { UInt8($0) })
        case 5: bytes.insert(contentsOf: (0...below(40)).map { UInt8($0) }, at: place)
        case 6: for at in place..<min(bytes.count, place + 512) { bytes[at] = 0 }
        case 7:
            let value = [UInt64](arrayLiteral: 0, 1, 0xffff_ffff, 1 << 40, 1 << 62, .max)[below(6)]
            for byte in 0..<8 where place & ~7 + byte < bytes.count {
                bytes[place & ~7 + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
            }
        case 8: bytes = foreign[below(foreign.count)]
        case 9:
            // The sections of another chunk after this one's header, or the other way round.
            let other = foreign[below(foreign.count)]
            bytes = Array(bytes.prefix(below(bytes.count))) + other.dropFirst(below(other.count))
        default: swapSections(&bytes, index)
        }
    }

    /// Two sections change places, their entries staying or going with them.
    private mutating func swapSections(_ bytes: inout [UInt8], _ index: Int) {
        guard let header = try? ChunkHeader(of: bytes), header.sections.count > 1 else { return bytes[0] ^= 1 }
        let bounds = header.sections.reduce(into: [header.bytes]) { $0.append($0.last.unsafelyUnwrapped + $1.stored) }
        let bodies = (0..<header.sections.count).map { Array(bytes[bounds[$0]..<bounds[$0 + 1]]) }
        let first = below(bodies.count - 1)
        var order = Array(bodies.indices)
        order.swapAt(first, first + 1)
        var head = Array(bytes[..<header.bytes])
        if below(2) == 0 {
            let table = ChunkHeader.fixedBytes + 4 * header.tokenCount + 40 * first
            let entries = head[table..<table + 80]
            head.replaceSubrange(table..<table + 80, with: Array(entries.suffix(40)) + Array(entries.prefix(40)))
        }
        bytes = head + order.flatMap { bodies[$0] }
    }
}
