// SPDX-License-Identifier: Apache-2.0
import Database
import Foundation
import PostgreSQL
import TestSupport
import Testing

@Suite struct MigrationTests {
    /// A directory of migrations that goes away with this object.
    private final class Files {
        let directory: String

        init(_ files: [String: String]) throws {
            directory = try TestDirectory.make()
            for (name, sql) in files { try write(name, sql) }
        }

        func write(_ name: String, _ sql: String) throws {
            try Data(sql.utf8).write(to: URL(fileURLWithPath: "\(directory)/\(name)"))
        }

        func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: "\(directory)/\(name)") }

        deinit { try? FileManager.default.removeItem(atPath: directory) }
    }

    private static let first = "CREATE TABLE deltakv.a (n int);\nINSERT INTO deltakv.a VALUES (1), (2);"

    private func message(_ body: () async throws -> Void) async -> String {
        await #expect(throws: DatabaseError.self) { try await body() }?.description ?? ""
    }

    private func migrate(_ files: Files, _ settings: PostgresSettings) async throws -> [Int] {
        try await Migrator(directory: files.directory, logger: quietLogger).migrate(settings).map(\.version)
    }

    @Test func appliesWhatIsPendingOnce() async throws {
        let files = try Files(["0001_a.sql": Self.first, "README.md": "not one"])
        try await withTestDatabase { settings in
            #expect(
                try await Migrator(directory: files.directory, logger: quietLogger).status(settings).map(\.appliedAt)
                    == [nil])
            #expect(try await migrate(files, settings) == [1])
            #expect(try await migrate(files, settings) == [])
            try files.write(
                "0002_b.sql", "SET search_path = deltakv; ALTER TABLE a ADD m int; DO $$ BEGIN PERFORM 1; END $$;")
            #expect(try await migrate(files, settings) == [2])
            let status = try await Migrator(directory: files.directory, logger: quietLogger).status(settings)
            #expect(status.map(\.name) == ["a", "b"])
            #expect(status.allSatisfy { $0.appliedAt.map { abs($0.timeIntervalSinceNow) < 600 } ?? false })
            let client = PostgresClient(settings)
            #expect(
                try await client.query("SELECT count(*) AS n FROM deltakv.a WHERE m IS NULL").onlyRow().get("n") == 2)
            let sums = try await client.query("SELECT sha256 FROM deltakv.migrations ORDER BY version")
            #expect(try sums.map { try $0.get("sha256", as: String.self).count } == [64, 64])
            await client.close()
        }
    }

    @Test func twentyMigratorsAtOnceApplyEachFileOnce() async throws {
        let files = try Files([
            "0001_a.sql": Self.first, "0002_b.sql": "SELECT pg_sleep(0.2); INSERT INTO deltakv.a VALUES (3)",
        ])
        try await withTestDatabase { settings in
            let migrator = try Migrator(directory: files.directory, logger: quietLogger)
            let applied = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<20 { group.addTask { try await migrator.migrate(settings).count } }
                return try await group.reduce(0, +)
            }
            #expect(applied == 2)
            let client = PostgresClient(settings)
            #expect(try await client.query("SELECT count(*) AS n FROM deltakv.a").onlyRow().get("n") == 3)
            await client.close()
        }
    }

    /// A forgotten transaction keeps a file from its lock; nobody else is kept from reading meanwhile.
    @Test func aFileThatWaitsForALockLetsOthersPass() async throws {
        let files = try Files(["0001_a.sql": Self.first])
        try await withTestDatabase { settings in
            _ = try await migrate(files, settings)
            try files.write("0002_b.sql", "ALTER TABLE deltakv.a ADD m int;")
            let client = PostgresClient(settings, logger: quietLogger)
            let holder = try await PostgresConnection.connect(settings, logger: quietLogger)
            try await holder.script("BEGIN")
            try await holder.query("SELECT * FROM deltakv.a")
            func migrator(patience: Duration) throws -> Migrator {
                try Migrator(
                    directory: files.directory, lockWait: .milliseconds(200), patience: patience, logger: quietLogger)
            }
            let text = await message { _ = try await migrator(patience: .zero).migrate(settings) }
            #expect(text.contains("0002_b.sql failed") && text.contains("lock timeout"))
            let waiting = try migrator(patience: .seconds(60))
            async let applied = waiting.migrate(settings)
            for _ in 0..<20 {
                try await client.script("SET statement_timeout = '5s'; SELECT count(*) FROM deltakv.a")
                try await Task.sleep(for: .milliseconds(50))
            }
            try await holder.script("COMMIT")
            #expect(try await applied.map(\.version) == [2])
            await holder.close()
            await client.close()
        }
    }

    @Test func aFailedFileIsRolledBackAlone() async throws {
        let files = try Files(["0001_a.sql": Self.first, "0002_b.sql": "CREATE TABLE deltakv.b ();\nSELECT nothing;\n"])
        try await withTestDatabase { settings in
            let text = await message { _ = try await migrate(files, settings) }
            #expect(text.contains("0002_b.sql failed at line 2") && text.contains("42703"))
            let status = try await Migrator(directory: files.directory, logger: quietLogger).status(settings)
            #expect(status.map { $0.appliedAt != nil } == [true, false])
            try files.write("0002_b.sql", "CREATE TABLE deltakv.b ();")
            #expect(try await migrate(files, settings) == [2])
        }
    }

    @Test func tamperingIsRefused() async throws {
        let files = try Files(["0001_a.sql": Self.first, "0002_b.sql": "SELECT 2"])
        try await withTestDatabase { settings in
            _ = try await migrate(files, settings)
            try files.write("0001_a.sql", Self.first + " ")
            #expect(await message { _ = try await migrate(files, settings) }.contains("0001_a.sql was changed"))
            try files.write("0001_a.sql", Self.first)
            try files.remove("0002_b.sql")
            #expect(await message { _ = try await migrate(files, settings) }.contains("newer than this deltakv"))
            try files.write("0002_b.sql", "SELECT 2")
            let client = PostgresClient(settings)
            try await client.script("DELETE FROM deltakv.migrations WHERE version = 1")
            await client.close()
            #expect(await message { _ = try await migrate(files, settings) }.contains("no record of migration 1"))
        }
    }

    @Test func aFileMustNotEndItsTransaction() async throws {
        let files = try Files(["0001_a.sql": "CREATE TABLE x (); COMMIT; CREATE TABLE y ();"])
        try await withTestDatabase { settings in
            #expect(
                await message { _ = try await migrate(files, settings) }.contains("take BEGIN, COMMIT and ROLLBACK out")
            )
        }
    }

    @Test(arguments: [
        (["0001_a.sql", "0001_b.sql"], "same number"), (["0002_a.sql"], "Migration 1 is missing"),
        (["0001_a.sql", "0003_c.sql"], "Migration 2 is missing"), (["1_a.sql"], "not named like a migration"),
        (["0001_A b.sql"], "not named like a migration"), (["0000_a.sql"], "Migration 1 is missing"),
    ])
    func misnamedFilesAreRefused(names: [String], problem: String) throws {
        let files = try Files(Dictionary(uniqueKeysWithValues: names.map { ($0, "SELECT 1") }))
        let error = #expect(throws: DatabaseError.self) {
            try Migrator(directory: files.directory, logger: quietLogger)
        }
        #expect(error?.description.contains(problem) == true)
    }

    @Test func unreadableFilesAreRefused() throws {
        let files = try Files([:])
        try Data([0x53, 0xff]).write(to: URL(fileURLWithPath: "\(files.directory)/0001_a.sql"))
        #expect(throws: DatabaseError.self) { try Migrator(directory: files.directory, logger: quietLogger) }
        #expect(throws: DatabaseError.self) { try Migrator(directory: "\(files.directory)/nowhere") }
    }

    @Test func anotherEncodingIsRefused() async throws {
        let files = try Files(["0001_a.sql": Self.first])
        try await withTestDatabase { settings in
            let client = PostgresClient(settings, size: 1)
            let name = "latin_\(UInt32.random(in: 0...UInt32.max))"
            try await client.script("CREATE DATABASE \(name) ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
            #expect(await message { _ = try await migrate(files, settings.with(database: name)) }.contains("LATIN1"))
            try await client.script("DROP DATABASE \(name)")
            await client.close()
        }
    }
}
