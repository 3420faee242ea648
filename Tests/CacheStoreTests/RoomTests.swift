// SPDX-License-Identifier: Apache-2.0
import CacheSamples
import Foundation
import SeededRandom
import Testing

@testable import CacheStore

/// Budget, age, free space and what goes first.
@Suite struct RoomTests {
    private static func unreachable(_ store: CacheStore) throws -> Int {
        try store.scan()
        let entries = Dictionary(uniqueKeysWithValues: store.entries.map { ($0.key, $0) })
        return EvictionOrder.unreachable(entries) { _ in true }.count
    }

    @Test func theBudgetHoldsAndChainsStayWhole() throws {
        let folder = Folder(), budget = 100_000
        let store = try CacheStore(
            directory: folder.path, settings: CacheSettings(budget: budget, life: nil, freeFloor: 0))
        var random = SplitMix(state: 3)
        for _ in 0..<60 {
            let document = SampleDocument(random.next() % 40)
            store.load(document)
            for result in try store.publish(document) { #expect(result != .busy) }
            #expect(store.bytes <= budget)
        }
        let onDisk = try folder.names.filter { $0.hasSuffix(".chunk") }.reduce(0) {
            try $0 + contents("\(folder.path)/\($1)").count
        }
        #expect(onDisk <= budget && onDisk == store.bytes && onDisk > budget / 2)
        #expect(store.statistics.evicted > 20)
        #expect(try Self.unreachable(store) == 0)
    }

    @Test func whatIsInUseStays() throws {
        let folder = Folder()
        let store = try CacheStore(
            directory: folder.path, settings: CacheSettings(budget: 60_000, life: nil, freeFloor: 0))
        // Another process's daemon, as far as locks can tell.
        let other = try CacheStore(directory: folder.path, settings: store.settings)
        try store.publish(SampleDocument(0))
        let used = other.load(SampleDocument(0))
        #expect(used.chunks.count == 5)
        for number in 1..<30 { try store.publish(SampleDocument(UInt64(2 * number)), prefillSeconds: 100) }
        #expect(store.load(SampleDocument(0)).chunks.count == 5)
        #expect(store.statistics.evicted > 20)
        withExtendedLifetime(used) {}
    }

    @Test func whatIsUsedNoMoreGoes() throws {
        let folder = Folder()
        let store = try CacheStore(
            directory: folder.path, settings: CacheSettings(budget: 60_000, life: nil, freeFloor: 0))
        try store.publish(SampleDocument(0), prefillSeconds: 0.001)
        #expect(store.load(SampleDocument(0)).chunks.count == 5)
        for number in 1..<30 { try store.publish(SampleDocument(UInt64(2 * number)), prefillSeconds: 100) }
        #expect(store.load(SampleDocument(0)).chunks.isEmpty)
    }

    @Test func aChunkThatNeverFitsIsRefused() throws {
        let folder = Folder()
        let store = try CacheStore(
            directory: folder.path, settings: CacheSettings(budget: 500, life: nil, freeFloor: 0))
        #expect(try store.publish(SampleDocument(1)).first == .noRoom)
        let floor = try CacheStore(
            directory: folder.path, settings: CacheSettings(budget: 1 << 30, life: nil, freeFloor: 1 << 60))
        #expect(try floor.publish(SampleDocument(1)) == [.noRoom] + Array(repeating: .unreachable, count: 4))
        #expect(floor.statistics.refused == 1 && folder.temporaries.isEmpty)
    }

    @Test func oldChunksAreMissedRewrittenAndRemoved() throws {
        let folder = Folder(), clock = TestClock()
        let settings = CacheSettings(budget: 1 << 30, life: .seconds(100), freeFloor: 0)
        let store = try CacheStore(directory: folder.path, settings: settings, now: { clock.now })
        try store.publish(SampleDocument(0))
        clock.advance(60)
        // Shares two chunks, and so ends with them.
        try store.publish(SampleDocument(1))
        #expect(store.load(SampleDocument(0)).miss == nil)
        clock.advance(60)
        #expect(store.load(SampleDocument(0)).miss == .expired)
        #expect(store.load(SampleDocument(1)).miss == .expired)
        #expect(try store.publish(SampleDocument(0)).allSatisfy { $0 != .present })
        #expect(store.load(SampleDocument(0)).miss == nil)
        #expect(try store.collectGarbage() == GarbageReport())
        clock.advance(60)
        #expect(try store.collectGarbage().expired == 3)
        #expect(store.load(SampleDocument(0)).miss == nil)
        clock.advance(60)
        let report = try store.collectGarbage()
        #expect(report.expired == 5 && report.freedBytes > 10_000 && store.bytes == 0)
    }

    @Test func garbageIsCollected() throws {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: .roomy)
        try store.publish(SampleDocument(1))
        try store.publish(SampleDocument(8))
        let chain = SampleDocument(1).chain(in: store), other = SampleDocument(20).chain(in: store)
        try put([1, 2, 3], store.directory.temporary(other.keys[0]))
        try put([1, 2, 3], store.directory.chunk(other.keys[1]))
        try put(contents(store.directory.chunk(chain.keys[0])), store.directory.chunk(other.keys[2]))
        // Whose version is to come.
        var later = try contents(store.directory.chunk(chain.keys[0]))
        later[8] = 2
        try put(later, store.directory.chunk(other.keys[3]))
        try put([1], folder.path + "/somebody's")
        try FileManager.default.removeItem(atPath: store.directory.chunk(chain.keys[1]))
        let writing = try #require(store.locks.exclusive(other.keys[4]))
        try put([1], store.directory.temporary(other.keys[4]))
        let report = try store.collectGarbage()
        #expect(report.temporaries == 1 && report.damaged == 2 && report.orphans == 3 && report.evicted == 0)
        #expect(folder.names.contains("somebody's") && folder.temporaries.count == 1)
        #expect(FileManager.default.fileExists(atPath: store.directory.chunk(other.keys[3])))
        #expect(store.load(SampleDocument(1)).chunks.count == 1 && store.load(SampleDocument(8)).chunks.count == 5)
        writing.release()
        #expect(try store.collectGarbage() == GarbageReport(temporaries: 1, freedBytes: 1))
    }

    @Test func scrubbingFindsDamage() async throws {
        let folder = Folder(), store = try CacheStore(directory: folder.path, settings: .roomy)
        try store.publish(SampleDocument(1))
        let key = SampleDocument(1).chain(in: store).keys[3], path = store.directory.chunk(key)
        var bytes = try contents(path)
        bytes[bytes.count - 1] ^= 1
        try put(bytes, path)
        #expect(store.verify(key) == .damaged(.checksum))
        let report = try await store.scrub(bytesPerSecond: 1 << 30)
        #expect(report.sound == 4 && report.damaged == 1 && report.bytes == store.bytes + bytes.count)
        #expect(store.verify(key) == .gone)
        #expect(store.load(SampleDocument(1)).chunks.count == 3)
    }

    @Test func exportsAreCaches() throws {
        let folder = Folder(), target = Folder()
        let store = try CacheStore(directory: folder.path, settings: .roomy)
        try store.publish(SampleDocument(1))
        let keys = SampleDocument(1).chain(in: store).keys
        #expect(try store.export(keys[2], to: target.path) == 3)
        let copy = try CacheStore(directory: target.path, settings: .roomy)
        #expect(copy.load(SampleDocument(1)).chunks.count == 3)
        try FileManager.default.removeItem(atPath: store.directory.chunk(keys[1]))
        #expect(throws: CacheError.self) { try store.export(keys[2], to: target.path) }
    }

    /// The order against its definition, on random forests.
    @Test func endsGoBeforeBeginningsAndTheLeastWorthFirst() {
        var random = SplitMix(state: 1)
        let now = Date(timeIntervalSince1970: 1e9)
        for _ in 0..<200 {
            var entries: [ChunkKey: CacheEntry] = [:], list: [CacheEntry] = []
            for _ in 0..<Int(2 + random.next() % 30) {
                let parent = random.next() % 3 == 0 ? nil : list.randomElement(using: &random)
                let entry = CacheEntry(
                    random: &random, parent: parent, seconds: Double(random.next() % 5),
                    lastUsed: now - Double(random.next() % 200_000))
                entries[entry.key] = entry
                list.append(entry)
            }
            let order = EvictionOrder.order(entries, now: now)
            #expect(order.count == entries.count)
            var gone: Set<ChunkKey> = [], last = -1.0
            for entry in order {
                #expect(list.allSatisfy { $0.parent != entry.key || gone.contains($0.key) })
                gone.insert(entry.key)
                // Of the chunks that nothing follows, none is worth less than the next to go, unless it went already.
                let worth = best(entry, list, now)
                #expect(worth >= last)
                last = worth
            }
        }
    }

    private func best(_ entry: CacheEntry, _ list: [CacheEntry], _ now: Date) -> Double {
        let own = entry.prefillSeconds / Double(entry.bytes) * exp2(-now.timeIntervalSince(entry.lastUsed) / 86400)
        return list.filter { $0.parent == entry.key }.map { best($0, list, now) }.reduce(own, max)
    }
}

extension CacheEntry {
    fileprivate init(random: inout SplitMix, parent: CacheEntry?, seconds: Double, lastUsed: Date) {
        func digest(_ random: inout SplitMix) -> CacheDigest {
            CacheDigest((0..<32).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        }
        let header = ChunkHeader(
            isEncrypted: false, fileBytes: Int(1000 + random.next() % 1000), index: parent.map { $0.index + 1 } ?? 0,
            created: 0, prefillSeconds: seconds, key: ChunkKey(digest: digest(&random)),
            parent: parent?.key ?? ChunkKey(digest: digest(&random)), lineage: Lineage(digest: digest(&random)),
            fingerprint: CacheFingerprint(digest: digest(&random)), salt: SaltTag(digest: CacheDigest()),
            nonce: CacheDigest(), tokenCheck: [], tokens: [], sections: [])
        self.init(header, lastUsed: lastUsed)
    }
}
