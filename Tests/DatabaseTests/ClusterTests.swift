// SPDX-License-Identifier: Apache-2.0
import Database
import Foundation
import PostgreSQL
import TestSupport
import Testing

@Suite struct ClusterTests {
    /// A cluster of the test's own, removed afterwards.
    private func withCluster(under suffix: String = "", _ body: (PrivateCluster) async throws -> Void) async throws {
        let root = try TestDirectory.make()
        try TestDirectory.removeWhenProcessEnds(root)
        let cluster = PrivateCluster(
            dataDirectory: root + suffix, serverSettings: ["fsync": "off"], logger: quietLogger)
        do {
            try await body(cluster)
            try await cluster.down()
        } catch {
            try? await cluster.down()
            throw error
        }
        try FileManager.default.removeItem(atPath: root)
    }

    private func answer(_ cluster: PrivateCluster) async throws -> Int {
        let connection = try await PostgresConnection.connect(cluster.settings)
        let answer: Int = try await connection.query("SELECT 42 AS n").onlyRow().get("n")
        await connection.close()
        return answer
    }

    @Test func upDownUp() async throws {
        try await withCluster { cluster in
            #expect(cluster.status().isInitialized == false)
            try await cluster.down()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<3 { group.addTask { try await cluster.up() } }
                try await group.waitForAll()
            }
            let first = cluster.status()
            #expect(first.isInitialized && first.processID != nil && first.majorVersion ?? 0 >= 15)
            #expect(try await answer(cluster) == 42)
            try await cluster.up()
            #expect(cluster.status() == first)
            try await cluster.down()
            try await cluster.down()
            #expect(cluster.status().processID == nil)
            await #expect(throws: PostgresError.self) { try await answer(cluster) }
            try await cluster.up()
            #expect(try await answer(cluster) == 42)
        }
    }

    @Test func itIsPrivateAndSound() async throws {
        try await withCluster { cluster in
            try await cluster.up()
            for directory in [cluster.status().socketDirectory, cluster.status().serverDirectory] {
                let mode = try FileManager.default.attributesOfItem(atPath: directory)[.posixPermissions] as? Int
                #expect(mode == 0o700)
            }
            let connection = try await PostgresConnection.connect(cluster.settings)
            let expected = [
                "listen_addresses": "", "server_encoding": "UTF8", "lc_collate": "C", "data_checksums": "on",
                "synchronous_commit": "on", "autovacuum": "on", "max_connections": "100",
            ]
            for (name, value) in expected {
                let row = try await connection.query("SELECT current_setting($1) AS v", [name]).onlyRow()
                #expect(try row.get("v") == value, "\(name)")
            }
            await connection.close()
        }
    }

    @Test func itComesBackAfterKill() async throws {
        try await withCluster { cluster in
            try await cluster.up()
            let connection = try await PostgresConnection.connect(cluster.settings)
            try await connection.script("CREATE TABLE t AS SELECT 7 AS n")
            let process = try #require(cluster.status().processID)
            kill(process, SIGKILL)
            while cluster.status().processID != nil { try await Task.sleep(for: .milliseconds(5)) }
            try await cluster.up()
            #expect(cluster.status().processID != process)
            let again = try await PostgresConnection.connect(cluster.settings)
            #expect(try await again.query("SELECT n FROM t").onlyRow().get("n") == 7)
            await again.close()
            await connection.close()
        }
    }

    /// A killed server's process number may have gone to another program, here to this test.
    @Test func aPidFileOfAnotherProcessIsStale() async throws {
        try await withCluster { cluster in
            try await cluster.up()
            let pidFile = "\(cluster.status().serverDirectory)/postmaster.pid"
            let text = try String(contentsOfFile: pidFile, encoding: .utf8)
            let process = try #require(cluster.status().processID)
            kill(process, SIGKILL)
            while cluster.status().processID != nil { try await Task.sleep(for: .milliseconds(5)) }
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            let forged = (["\(getpid())"] + lines.dropFirst().map(String.init)).joined(separator: "\n")
            try forged.write(toFile: pidFile, atomically: false, encoding: .utf8)
            try await cluster.up()
            #expect(try await answer(cluster) == 42)
        }
    }

    @Test func longAndOddPathsWork() async throws {
        let odd = "/it's, a \"long\" päth " + String(repeating: "x", count: 100)
        try await withCluster(under: odd) { cluster in
            try await cluster.up()
            #expect(try await answer(cluster) == 42)
            #expect(!cluster.status().socketDirectory.hasPrefix(cluster.dataDirectory))
            try await cluster.down()
            #expect(!FileManager.default.fileExists(atPath: cluster.status().socketDirectory))
        }
        try await withCluster(under: "/it's \"odd\"") { cluster in
            try await cluster.up()
            #expect(try await answer(cluster) == 42)
            #expect(cluster.status().socketDirectory.hasPrefix(cluster.dataDirectory))
        }
        try await withCluster(under: "/a,b") { cluster in
            try await cluster.up()
            #expect(try await answer(cluster) == 42)
            #expect(!cluster.status().socketDirectory.contains(","))
        }
    }

    @Test func aForeignSocketDirectoryIsRefused() async throws {
        let long = "/" + String(repeating: "y", count: 110)
        try await withCluster(under: long) { cluster in
            let directory = cluster.status().socketDirectory
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o777])
            let error = await #expect(throws: DatabaseError.self) { try await cluster.up() }
            #expect(error?.description.contains(directory) == true)
            try FileManager.default.removeItem(atPath: directory)
        }
    }

    @Test func aFailedStartShowsTheLog() async throws {
        try await withCluster { cluster in
            let broken = PrivateCluster(
                dataDirectory: cluster.dataDirectory, serverSettings: ["fsync": "off", "shared_buffers": "nonsense"])
            let error = await #expect(throws: DatabaseError.self) { try await broken.up() }
            #expect(error?.description.contains("shared_buffers") == true)
            try await cluster.up()
            #expect(try await answer(cluster) == 42)
        }
    }

    @Test func missingPartsAreNamed() async throws {
        let root = try TestDirectory.make()
        defer { try? FileManager.default.removeItem(atPath: root) }
        let programs = PrivateCluster(dataDirectory: root, environment: ["DELTAKV_PG_BIN": "/nonexistent"])
        let noPrograms = await #expect(throws: DatabaseError.self) { try await programs.up() }
        #expect(noPrograms?.description.contains("DELTAKV_PG_BIN") == true)
        try FileManager.default.createDirectory(atPath: "\(root)/file-parent", withIntermediateDirectories: false)
        try Data().write(to: URL(fileURLWithPath: "\(root)/file"))
        let inFile = PrivateCluster(dataDirectory: "\(root)/file/data")
        let noDirectory = await #expect(throws: DatabaseError.self) { try await inFile.up() }
        #expect(noDirectory?.description.contains("DELTAKV_DATA") == true)
        guard geteuid() == 0 else { return }
        let account = PrivateCluster(dataDirectory: root, environment: ["DELTAKV_PG_USER": "nobody-at-all"])
        let noAccount = await #expect(throws: DatabaseError.self) { try await account.up() }
        #expect(noAccount?.description.contains("nobody-at-all") == true)
        let closed = "\(root)/closed"
        try FileManager.default.createDirectory(
            atPath: closed, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        let hidden = await #expect(throws: DatabaseError.self) {
            try await PrivateCluster(dataDirectory: "\(closed)/data").up()
        }
        #expect(hidden?.description.contains("cannot enter \(closed).") == true)
    }

    @Test func listenersOutliveARestart() async throws {
        try await withCluster { cluster in
            try await cluster.up()
            let client = PostgresClient(cluster.settings, size: 2, logger: quietLogger)
            try await client.query("SELECT 1")
            var events = client.listen(["jobs"]).makeAsyncIterator()
            #expect(await events.next() == .connected)
            try await client.query("SELECT pg_notify('jobs', 'one')")
            #expect(await events.next()?.payload == "one")
            try await cluster.down()
            let waiting = Task { try await client.idempotentQuery("SELECT 5 AS n").onlyRow().get("n", as: Int.self) }
            try await cluster.up()
            #expect(await events.next() == .connected)
            try await client.query("SELECT pg_notify('jobs', 'two')")
            #expect(await events.next()?.payload == "two")
            #expect(try await waiting.value == 5)
            await client.close()
        }
    }
}

extension PostgresListenEvent {
    fileprivate var payload: String? {
        if case .notification(let notification) = self { notification.payload } else { nil }
    }
}
