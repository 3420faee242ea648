// SPDX-License-Identifier: Apache-2.0

import CacheSamples
import CacheStore
import Database
import Foundation
import JobQueue
import PostgreSQL
import TestSupport
import Testing

@testable import Service

/// The database's picture of a cache directory, on a real server.
@Suite struct CacheCatalogueTests {
    private struct Fixture {
        let client: PostgresClient
        let queue: JobQueue
        let folder: String

        func store() throws -> CacheStore {
            try CacheStore(directory: folder, settings: CacheSettings(budget: 1 << 30, life: nil, freeFloor: 0))
        }

        /// Some columns, or sums, of whole numbers.
        func numbers(_ columns: String, from table: String) async throws -> [Int] {
            try await client.query("SELECT ARRAY[\(columns)]::bigint[] FROM deltakv.\(table)").onlyRow().get(0)
        }
    }

    private func withFixture(_ body: (Fixture) async throws -> Void) async throws {
        let folder = NSTemporaryDirectory() + "deltakv-catalogue-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await withTestDatabase { settings in
            _ = try await Migrator(directory: Installation().migrations, logger: quietLogger).migrate(settings)
            let client = PostgresClient(settings, size: 2, logger: quietLogger)
            try await body(Fixture(client: client, queue: JobQueue(client: client), folder: folder))
            await client.close()
        }
    }

    private func publish(_ document: SampleDocument, in store: CacheStore) throws {
        let chain = document.chain(in: store)
        for index in 0..<chain.count {
            _ = try store.publish(document.sections(index), at: index, of: chain, prefillSeconds: 2)
        }
    }

    @Test func theTableFollowsTheDirectory() async throws {
        try await withFixture { fixture in
            let store = try fixture.store(), catalogue = CacheCatalogue(store: store, queue: fixture.queue, host: "h")
            try publish(SampleDocument(1), in: store)
            try publish(SampleDocument(10), in: store)
            try await catalogue.sync()
            let totals = "count(*), sum(tokens), sum(bytes), sum(hits), sum(seconds_saved)"
            #expect(try await fixture.numbers(totals, from: "caches") == [10, 160, store.bytes, 0, 0])
            for _ in 0..<3 { _ = store.load(SampleDocument(1).chain(in: store)) }
            _ = store.load(SampleDocument(77).chain(in: store))
            try await catalogue.sync()
            #expect(try await fixture.numbers(totals, from: "caches") == [10, 160, store.bytes, 15, 30])
            let summary = "chunks, bytes, hits, misses, seconds_saved, written"
            #expect(
                try await fixture.numbers(summary, from: "dashboard_cache_stores WHERE host = 'h'") == [
                    10, store.bytes, 15, 1, 30, 10,
                ])
            try await catalogue.sync()
            #expect(
                try await fixture.numbers(summary, from: "dashboard_cache_stores WHERE host = 'h'") == [
                    10, store.bytes, 15, 1, 30, 10,
                ])
            // What goes from the directory goes from the table, the sums stay.
            let gone = SampleDocument(10).chain(in: store).keys
            for key in gone.reversed() { #expect(store.remove(key)) }
            try await catalogue.sync()
            #expect(
                try await fixture.numbers(summary, from: "dashboard_cache_stores WHERE host = 'h'") == [
                    5, store.bytes, 15, 1, 30, 10,
                ])
        }
    }

    /// Whatever the table says, the files are right.
    @Test func aNewDaemonRebuildsTheTable() async throws {
        try await withFixture { fixture in
            let store = try fixture.store()
            try publish(SampleDocument(1), in: store)
            try await CacheCatalogue(store: store, queue: fixture.queue).sync()
            try await fixture.client.script(
                """
                DELETE FROM deltakv.caches WHERE chunk_index = 1;
                UPDATE deltakv.caches SET key = sha256('x') WHERE chunk_index = 2;
                UPDATE deltakv.caches SET bytes = 1, hits = 7 WHERE chunk_index = 3;
                """)
            let other = try fixture.store()
            #expect(other.id == store.id)
            try await CacheCatalogue(store: other, queue: fixture.queue).sync()
            let rows = try await fixture.client.query(
                "SELECT encode(key, 'hex'), bytes, hits FROM deltakv.caches ORDER BY chunk_index")
            let keys = SampleDocument(1).chain(in: store).keys, entries = store.entries.sorted { $0.index < $1.index }
            #expect(try rows.map { try $0.get(0, as: String.self) } == keys.map(\.description))
            #expect(try rows.map { try $0.get(1, as: Int.self) } == entries.map(\.bytes))
            #expect(try rows.map { try $0.get(2, as: Int.self) } == [0, 0, 0, 7, 0])
        }
    }

    @Test func severalDaemonsKeepOneDirectorysRows() async throws {
        try await withFixture { fixture in
            let stores = try (0..<4).map { _ in try fixture.store() }
            try publish(SampleDocument(1, chunks: 40), in: stores[0])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for store in stores {
                    group.addTask {
                        let catalogue = CacheCatalogue(store: store, queue: fixture.queue)
                        for _ in 0..<5 {
                            _ = store.load(SampleDocument(1, chunks: 40).chain(in: store))
                            try await catalogue.sync()
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(
                try await fixture.numbers("count(*), sum(hits), min(hits), max(hits)", from: "caches") == [
                    40, 800, 20, 20,
                ])
            #expect(try await fixture.numbers("count(*), sum(hits)", from: "cache_stores") == [1, 800])
        }
    }

    @Test func aKeeperDoesItAllAndWritesDownWhatIsLeft() async throws {
        try await withFixture { fixture in
            let store = try fixture.store(), document = SampleDocument(1)
            try publish(document, in: store)
            let keys = document.chain(in: store).keys, path = "\(store.path)/\(keys[4]).chunk"
            var data = try Data(contentsOf: URL(fileURLWithPath: path))
            data[data.count - 1] ^= 1
            try data.write(to: URL(fileURLWithPath: path))
            try Data([1]).write(to: URL(fileURLWithPath: "\(store.path)/\(keys[0]).tmp"))
            var keeper = CacheKeeper(
                store: store, catalogue: CacheCatalogue(store: store, queue: fixture.queue), logger: quietLogger)
            keeper.pace.bytesPerSecond = 1 << 30
            let running = Task { [keeper] in await keeper.run() }
            let deadline = ContinuousClock.now + .seconds(30)
            while store.statistics.damaged == 0
                || FileManager.default.fileExists(atPath: "\(store.path)/\(keys[0]).tmp")
            {
                try #require(ContinuousClock.now < deadline)
                try await Task.sleep(for: .milliseconds(10))
            }
            _ = store.load(document.chain(in: store))
            running.cancel()
            await running.value
            #expect(try await fixture.numbers("count(*), sum(hits)", from: "caches") == [4, 4])
            #expect(try await fixture.numbers("damaged, hits", from: "cache_stores") == [1, 4])
        }
    }

    @Test func readersSeeNoKeysAndWorkersWrite() async throws {
        try await withFixture { fixture in
            let store = try fixture.store()
            try publish(SampleDocument(1), in: store)
            let role = "cache_\(UInt32.random(in: .min ... .max))"
            try await fixture.client.script(
                "CREATE ROLE \(role)_r; CREATE ROLE \(role)_w; GRANT deltakv_reader TO \(role)_r; GRANT deltakv_worker TO \(role)_w"
            )
            try await CacheCatalogue(store: store, queue: fixture.queue).sync()
            func may(_ who: String, _ sql: String) async throws -> Bool {
                do {
                    try await fixture.client.transaction { transaction in
                        try await transaction.script("SET LOCAL ROLE \(role)_\(who)")
                        try await transaction.script(sql)
                    }
                    return true
                } catch let error as PostgresError where error.sqlState == "42501" {
                    return false
                }
            }
            let views = ["dashboard_cache_stores", "dashboard_caches", "dashboard_cache_misses"]
            for view in views { #expect(try await may("r", "SELECT * FROM deltakv.\(view)")) }
            for table in ["caches", "cache_stores", "cache_misses"] {
                for who in ["r", "w"] { #expect(try await !may(who, "SELECT * FROM deltakv.\(table)")) }
            }
            let forget = "SELECT deltakv.forget_caches('\(store.id)', ARRAY['\(store.entries[0].key)'])"
            #expect(try await !may("r", forget))
            #expect(try await may("w", forget))
            #expect(try await !may("r", "SELECT deltakv.known_caches('\(store.id)')"))
            let columns = try await fixture.client.query(
                """
                SELECT count(*) FROM information_schema.columns
                WHERE table_schema = 'deltakv' AND table_name LIKE 'dashboard_cache%' AND column_name IN ('key', 'parent')
                """
            ).onlyRow().get(0, as: Int.self)
            #expect(columns == 0)
            try await fixture.client.script("DROP OWNED BY \(role)_r, \(role)_w; DROP ROLE \(role)_r, \(role)_w")
        }
    }
}
