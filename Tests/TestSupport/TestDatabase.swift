// SPDX-License-Identifier: Apache-2.0
import Database
import Foundation
import Logging
import PostgreSQL
import Synchronization

/// Logs errors only.
public let quietLogger: Logger = {
    var logger = Logger(label: "test")
    logger.logLevel = .error
    return logger
}()

/// Runs `body` with a fresh, empty database, which is dropped afterwards. All databases of a test process live in one
/// private cluster, which is started at the first call and removed when the process ends, however it ends.
public func withTestDatabase<Value>(
    isolation: isolated (any Actor)? = #isolation, _ body: (PostgresSettings) async throws -> Value
) async throws -> Value {
    let cluster = try await TestCluster.shared.value
    let name = "test_\(TestCluster.nextNumber())"
    let administration = PostgresClient(cluster.settings, size: 1, logger: quietLogger)
    try await administration.script("CREATE DATABASE \(name)")
    do {
        let value = try await body(cluster.settings.with(database: name))
        try await drop(name, with: administration)
        return value
    } catch {
        try? await drop(name, with: administration)
        throw error
    }
}

private func drop(_ name: String, with administration: PostgresClient) async throws {
    try await Task.detached {
        try await administration.idempotentQuery("DROP DATABASE IF EXISTS \(name) WITH (FORCE)")
        await administration.close()
    }.value
}

/// The cluster that the tests of one process share.
enum TestCluster {
    static let shared = Task { try await start() }

    private static let counter = Atomic<Int>(0)

    static func nextNumber() -> Int { counter.add(1, ordering: .relaxed).newValue }

    private static func start() async throws -> PrivateCluster {
        let directory = try TestDirectory.make()
        try TestDirectory.removeWhenProcessEnds(directory)
        // Lasting through a power cut is of no use to tests, and costs time. Many of them run at once.
        let cluster = PrivateCluster(
            dataDirectory: directory,
            serverSettings: [
                "fsync": "off", "full_page_writes": "off", "synchronous_commit": "on", "max_connections": "400",
            ],
            logger: quietLogger)
        try await cluster.up()
        return cluster
    }
}

/// Short temporary directories for clusters.
public enum TestDirectory {
    /// A new directory that any user may enter.
    public static func make() throws -> String {
        let template = "/tmp/dkv-test-XXXXXX"
        var bytes = Array(template.utf8CString)
        guard mkdtemp(&bytes) != nil else { throw DatabaseError("No directory can be made under /tmp.") }
        let path = String(decoding: bytes.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        return path
    }

    /// Leaves a shell behind that stops the cluster under `directory`, if one runs, and removes the directory as soon as
    /// this process is gone: its standard input then ends.
    public static func removeWhenProcessEnds(_ directory: String) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw DatabaseError("No pipe can be made.") }
        // Servers started later must not hold the end that only this process may hold.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let script = """
            trap '' INT HUP TERM
            read line
            process=$(head -n 1 "$1/postgresql/data/postmaster.pid" 2>/dev/null)
            [ -n "$process" ] && kill -QUIT "$process" 2>/dev/null
            for attempt in 1 2 3 4 5 6 7 8 9 10; do
                rm -rf "$1" 2>/dev/null
                [ -e "$1" ] || break
                sleep 0.2
            done
            """
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/setsid")
        process.arguments = ["/bin/sh", "-c", script, "sh", directory]
        process.standardInput = FileHandle(fileDescriptor: ends[0], closeOnDealloc: true)
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
    }
}
