// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import Logging
import PostgreSQL

/// A PostgreSQL server of our own under a data directory, reached through a unix socket only.
///
/// Whoever may enter the socket's directory (its owner and root) is trusted; there is no port and no password.
/// `up` and `down` may be called any number of times, by several processes at once, and after a crash.
public struct PrivateCluster: Sendable {
    /// State of a cluster.
    public struct Status: Sendable, Hashable, Codable {
        /// Whether the cluster's files exist.
        public let isInitialized: Bool
        /// Process id of the server; nil when it does not run.
        public let processID: Int32?
        /// Major version that made the files; nil when there are none.
        public let majorVersion: Int?
        /// Directory of the server's files.
        public let serverDirectory: String
        /// Directory of the socket.
        public let socketDirectory: String
        /// The server's log.
        public let logFile: String
    }

    /// Name of the database that deltakv uses in a cluster of its own.
    public static let databaseName = "deltakv"
    static let superuser = "postgres"

    /// The data directory: absolute, without links.
    public let dataDirectory: String
    let environment: [String: String]
    let serverSettings: [String: String]
    let logger: Logger
    let socket: SocketDirectory

    var directory: String { "\(dataDirectory)/postgresql" }
    var serverDirectory: String { "\(directory)/data" }
    var logFile: String { "\(directory)/server.log" }

    /// A cluster under `dataDirectory`, which need not exist yet.
    /// - Parameter serverSettings: PostgreSQL settings that override ours
    public init(
        dataDirectory: String, environment: [String: String] = ProcessInfo.processInfo.environment,
        serverSettings: [String: String] = [:], logger: Logger = Logger(label: "deltakv.database")
    ) {
        self.dataDirectory = Self.resolved(dataDirectory)
        self.environment = environment
        self.serverSettings = serverSettings
        self.logger = logger
        socket = SocketDirectory(cluster: "\(self.dataDirectory)/postgresql", environment: environment)
    }

    /// How the cluster's database is reached.
    public var settings: PostgresSettings {
        PostgresSettings(keywords: [
            "host": socket.path, "port": String(SocketDirectory.port), "user": Self.superuser,
            "dbname": Self.databaseName,
        ])
    }

    /// What is there and whether it runs.
    public func status() -> Status {
        let version = (try? String(contentsOfFile: "\(serverDirectory)/PG_VERSION", encoding: .utf8))
            .flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
        var process: Int32?
        if case .alive(let id) = Postmaster(data: serverDirectory) { process = id }
        return Status(
            isInitialized: version != nil, processID: process, majorVersion: version, serverDirectory: serverDirectory,
            socketDirectory: socket.path, logFile: logFile)
    }

    /// Makes the cluster if need be, starts it if it does not run, and makes the database; then it takes connections.
    /// Throws `DatabaseError` or `PostgresError` that says what is missing.
    public func up() async throws {
        let account = try await ServerAccount.current(environment: environment)
        try makeDataDirectory()
        let lock = try await FileLock(path: "\(dataDirectory)/postgresql.lock", patience: Self.lockPatience)
        try await prepareDirectory(for: account)
        let installation = try await ServerInstallation.find(
            version: status().majorVersion, environment: environment)
        if !status().isInitialized { try await initialize(installation, account) }
        if status().processID == nil { try await start(installation, account) }
        try await ensureDatabase()
        withExtendedLifetime(lock) {}
    }

    /// Stops the server, breaking connections; a server that does not run is left alone. Throws `DatabaseError`.
    public func down() async throws {
        guard status().isInitialized else { return }
        let account = try await ServerAccount.current(environment: environment)
        let lock = try await FileLock(path: "\(dataDirectory)/postgresql.lock", patience: Self.lockPatience)
        if status().processID != nil {
            let installation = try await ServerInstallation.find(
                version: status().majorVersion, environment: environment)
            let words = [
                installation.path("pg_ctl"), "stop", "-D", serverDirectory, "-m", "fast", "-w", "-t", "60",
            ]
            try await account.require(words, to: "stop PostgreSQL")
        }
        if socket.isDetached { rmdir(socket.path) }
        withExtendedLifetime(lock) {}
    }

    private static let lockPatience = Duration.seconds(90)

    /// Absolute, and without links as far as the path exists.
    private static func resolved(_ path: String) -> String {
        let absolute = URL(fileURLWithPath: (path as NSString).expandingTildeInPath).standardizedFileURL.path
        var existing = absolute
        var rest: [String] = []
        while existing != "/", access(existing, F_OK) != 0 {
            rest.insert((existing as NSString).lastPathComponent, at: 0)
            existing = (existing as NSString).deletingLastPathComponent
        }
        let base = realpath(existing, nil).map { pointer in
            defer { free(pointer) }
            return String(cString: pointer)
        }
        return ([base ?? existing] + rest).joined(separator: "/").replacing("//", with: "/")
    }
}
