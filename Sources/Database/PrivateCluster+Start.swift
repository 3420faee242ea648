// SPDX-License-Identifier: Apache-2.0
import Foundation
import PostgreSQL

// Starting a cluster's server.
extension PrivateCluster {
    func start(_ installation: ServerInstallation, _ account: ServerAccount) async throws {
        try await socket.prepare(for: account)
        try await removeLeftovers(account)
        try await rotateLog(account)
        try await writeSettings(account)
        // pg_ctl builds a line for the shell and quotes paths badly, so that it gets plain relative ones.
        let words = [
            "/bin/sh", "-c", "cd \"$1\" && shift && exec \"$@\"", "sh", directory,
            installation.path("pg_ctl"), "start", "-D", "data", "-l", "server.log", "-w", "-t", "120", "-s",
        ]
        // After the server was killed its children hold the shared memory until they notice.
        for attempt in 1... {
            let logLength = fileSize(logFile)
            let outcome = try await account.run(words)
            if outcome.succeeded { return }
            let log = text(of: logFile, from: logLength)
            guard log.contains("pre-existing shared memory block"), attempt < 40 else {
                throw failure("PostgreSQL did not start (log: \(logFile))", log: log.isEmpty ? outcome.output : log)
            }
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    /// Files of a server that was killed. With its process number in use again they would keep PostgreSQL from starting.
    private func removeLeftovers(_ account: ServerAccount) async throws {
        guard Postmaster(data: serverDirectory) == .stale else { return }
        logger.notice("The server was not stopped in order; it recovers", metadata: ["directory": "\(serverDirectory)"])
        let socketFile = "\(socket.path)/.s.PGSQL.\(SocketDirectory.port)"
        let leftovers = ["\(serverDirectory)/postmaster.pid", socketFile, "\(socketFile).lock"]
        try await account.require(["/bin/rm", "-f"] + leftovers, to: "remove the files of the killed server")
    }

    private func rotateLog(_ account: ServerAccount) async throws {
        guard fileSize(logFile) > Self.maximumLog else { return }
        try await account.require(["/bin/mv", "-f", logFile, "\(logFile).1"], to: "rotate the server's log")
    }

    private static let maximumLog: UInt64 = 16 << 20

    /// Waits until the server takes connections, and makes the database.
    func ensureDatabase() async throws {
        let client = PostgresClient(
            settings.with(database: "postgres"), size: 1, patience: .seconds(60), logger: logger)
        do {
            let found = try await client.idempotentQuery(
                "SELECT FROM pg_catalog.pg_database WHERE datname = $1", [Self.databaseName])
            if found.isEmpty { try await client.script("CREATE DATABASE \(Self.databaseName)") }
            await client.close()
        } catch {
            await client.close()
            throw error
        }
    }

    private func fileSize(_ path: String) -> UInt64 {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        return attributes?[.size] as? UInt64 ?? 0
    }

    private func text(of path: String, from offset: UInt64) -> String {
        guard let file = FileHandle(forReadingAtPath: path) else { return "" }
        try? file.seek(toOffset: offset)
        return String(decoding: (try? file.readToEnd()) ?? Data(), as: UTF8.self)
    }
}
