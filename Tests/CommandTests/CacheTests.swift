// SPDX-License-Identifier: Apache-2.0

import CacheSamples
import CacheStore
import Foundation
import Testing

/// `deltakv cache`, as a process.
@Suite struct CacheTests {
    private struct Row: Decodable {
        let key: String
        let index: Int?
        let tokens: Int?
        let state: String?
        let reason: String?
    }

    private func withCache(_ body: (Program, CacheStore) async throws -> Void) async throws {
        let folder = NSTemporaryDirectory() + "deltakv-cache-command-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try CacheStore(
            directory: folder + "/c", settings: CacheSettings(budget: 1 << 30, life: nil, freeFloor: 0))
        for number in [1, 30] as [UInt64] {
            let document = SampleDocument(number), chain = document.chain(in: store)
            for index in 0..<chain.count {
                _ = try store.publish(document.sections(index), at: index, of: chain, prefillSeconds: 0.5)
            }
        }
        let program = Program(environment: [
            "DELTAKV_CACHE_DIRECTORY": folder + "/c", "DELTAKV_CACHE_FREE_FLOOR": "1MiB",
        ])
        try await body(program, store)
    }

    private func rows(_ text: String) throws -> [Row] {
        try text.split(separator: "\n").map { try JSONDecoder().decode(Row.self, from: Data($0.utf8)) }
    }

    @Test func chunksAreListedChainByChain() async throws {
        try await withCache { program, store in
            let outcome = try await program.run("cache", "list", "--json"), rows = try rows(outcome.output)
            #expect(outcome.status == 0 && rows.compactMap(\.index) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
            #expect(rows.prefix(5).map(\.key) == SampleDocument(1).chain(in: store).keys.map(\.description))
            #expect(try await program.run("cache", "list").output.contains("10 chunks"))
            let key = rows[3].key
            let shown = try await program.run("cache", "show", String(key.prefix(12)))
            #expect(shown.status == 0 && shown.output.contains(key) && shown.output.contains("section 20"))
            for bad in ["zz", ""] { #expect(try await program.run("cache", "show", bad).status == 1) }
        }
    }

    @Test func damageIsReportedAndRemoved() async throws {
        try await withCache { program, store in
            #expect(try await program.run("cache", "verify").output == "10 sound\n")
            let key = SampleDocument(1).chain(in: store).keys[2], path = "\(store.path)/\(key).chunk"
            var data = try Data(contentsOf: URL(fileURLWithPath: path))
            data[data.count - 3] ^= 4
            try data.write(to: URL(fileURLWithPath: path))
            let found = try await program.run("cache", "verify", "--json")
            #expect(found.status == 1)
            #expect(try rows(found.output).filter { $0.state != "sound" }.map(\.reason) == ["checksum"])
            #expect(try await program.run("cache", "verify", "\(key)").status == 1)
            let removed = try await program.run("cache", "verify", "--remove", "--rate", "1GiB")
            #expect(removed.status == 1 && removed.output.contains("checksum, removed"))
            let collected = try await program.run("cache", "gc")
            #expect(collected.status == 0 && collected.output.contains("2 unreachable"))
            #expect(try await program.run("cache", "verify").output == "7 sound\n")
        }
    }

    @Test func aChainIsExported() async throws {
        try await withCache { program, store in
            let key = SampleDocument(30).chain(in: store).keys[3], target = store.path + "-copy"
            let outcome = try await program.run("cache", "export", "\(key)", target)
            #expect(outcome.status == 0 && outcome.output.contains("4 chunks"))
            #expect(try await program.run("cache", "verify", "--directory", target).output == "4 sound\n")
        }
    }

    @Test func mistakesAreNamed() async throws {
        let program = Program(environment: ["DELTAKV_CACHE_DIRECTORY": "/nowhere/cache"])
        let outcome = try await program.run("cache", "list")
        #expect(outcome.status == 1 && outcome.errors.contains("/nowhere/cache"))
        try await withCache { program, store in
            let bad = Program(environment: program.environment.merging(["DELTAKV_CACHE_KEY": "secret text"]) { $1 })
            let outcome = try await bad.run("cache", "list")
            #expect(outcome.status == 1 && outcome.errors.contains("DELTAKV_CACHE_KEY"))
            #expect(!outcome.errors.contains("secret text"))
            #expect(try await program.run("cache", "verify", "--rate", "fast").status == 2)
        }
    }

    @Test func theDoctorLooksAtTheCache() async throws {
        try await withCache { program, store in
            let outcome = try await program.run("doctor", "--json")
            #expect(outcome.output.contains("10 chunks"))
            let other = Program(environment: program.environment.merging(["DELTAKV_CACHE_BUDGET": "lots"]) { $1 })
            #expect(try await other.run("doctor").errors.contains("cache.budget"))
        }
    }
}
