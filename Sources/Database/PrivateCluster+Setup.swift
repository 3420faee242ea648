// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc

// Making a cluster's directories and files.
extension PrivateCluster {
    func makeDataDirectory() throws(DatabaseError) {
        do {
            // The server's user has to pass through a directory of root's.
            try FileManager.default.createDirectory(
                atPath: dataDirectory, withIntermediateDirectories: true,
                attributes: [.posixPermissions: geteuid() == 0 ? 0o755 : 0o700])
        } catch {
            throw DatabaseError(
                "The data directory \(dataDirectory) cannot be made: \(error.localizedDescription)."
                    + " Name another in DELTAKV_DATA.")
        }
    }

    /// Makes the cluster's directory, closed to all but the account, and checks that the account reaches it.
    func prepareDirectory(for account: ServerAccount) async throws(DatabaseError) {
        if mkdir(directory, 0o700) == 0 {
            guard lchown(directory, account.userID, account.groupID) == 0 else {
                throw DatabaseError("\(directory) cannot be given to user \(account.name): \(Self.reason()).")
            }
        } else if errno != EEXIST {
            throw DatabaseError("\(directory) cannot be made: \(Self.reason()).")
        }
        var info = stat()
        guard lstat(directory, &info) == 0, info.st_mode & S_IFMT == S_IFDIR, info.st_uid == account.userID else {
            throw DatabaseError(
                "\(directory) belongs to another user than \(account.name), as whom PostgreSQL would run. Start deltakv as"
                    + " the user who made it, or name another data directory in DELTAKV_DATA.")
        }
        guard try await account.run(["/bin/sh", "-c", "cd \"$1\"", "sh", directory]).succeeded else {
            throw DatabaseError(
                "User \(account.name), as whom PostgreSQL runs, cannot enter \(try await closedAncestor(account))."
                    + " Make it enterable (chmod o+x), or name a data directory elsewhere in DELTAKV_DATA.")
        }
    }

    private func closedAncestor(_ account: ServerAccount) async throws(DatabaseError) -> String {
        var path = ""
        for part in directory.split(separator: "/") {
            path += "/\(part)"
            if try await !account.run(["/bin/sh", "-c", "cd \"$1\"", "sh", path]).succeeded { return path }
        }
        return directory
    }

    /// The files are made beside their place and moved there when complete, so that a broken attempt is never taken for
    /// a cluster.
    func initialize(_ installation: ServerInstallation, _ account: ServerAccount) async throws(DatabaseError) {
        logger.info("Making a PostgreSQL cluster", metadata: ["directory": "\(serverDirectory)"])
        let unfinished = "\(directory)/unfinished"
        try await account.require(["/bin/rm", "-rf", unfinished], to: "remove \(unfinished)")
        var words = [
            installation.path("initdb"), "-D", unfinished, "-U", Self.superuser, "-E", "UTF8", "--locale=C",
            "--data-checksums", "--auth-local=trust", "--auth-host=reject",
        ]
        if serverSettings["fsync"] == "off" { words.append("--no-sync") }
        let outcome = try await account.run(words)
        guard outcome.succeeded else { throw failure("initdb failed", log: outcome.output) }
        try await account.require(
            [
                "/bin/sh", "-c", "echo \"$2\" >> \"$1\"", "sh", "\(unfinished)/postgresql.conf",
                "include '\(Self.settingsFile)'",
            ], to: "write postgresql.conf")
        try await account.require(
            ["/bin/mv", "-T", unfinished, serverDirectory], to: "move the new cluster into place")
    }

    func writeSettings(_ account: ServerAccount) async throws(DatabaseError) {
        var settings = [
            "listen_addresses": "", "port": String(SocketDirectory.port), "unix_socket_permissions": "0700",
            "unix_socket_directories": "\"" + socket.path.replacing("\"", with: "\"\"") + "\"",
            "max_connections": "100", "shared_buffers": "128MB", "max_wal_size": "2GB", "wal_compression": "on",
            "random_page_cost": "1.1",
            // Statements and their parameters carry documents, which do not belong in a log.
            "log_min_error_statement": "panic", "log_parameter_max_length": "0",
        ]
        settings.merge(serverSettings) { _, given in given }
        let lines = settings.sorted { $0.key < $1.key }
            .map { "\($0.key) = '\($0.value.replacing("'", with: "''"))'\n" }
        let text = "# Written by deltakv at every start; changes are lost.\n" + lines.joined()
        try await account.require(
            ["/bin/sh", "-c", "printf %s \"$2\" > \"$1\"", "sh", "\(serverDirectory)/\(Self.settingsFile)", text],
            to: "write \(Self.settingsFile)")
    }

    private static let settingsFile = "deltakv.conf"

    /// An error with the last lines of a log and, where they tell, a hint.
    func failure(_ what: String, log: String) -> DatabaseError {
        let tail = log.split(whereSeparator: \.isNewline).suffix(15).map { "  \($0)" }.joined(separator: "\n")
        let hint =
            log.contains("No space left on device")
            ? " The disk of \(directory) is full: make room and try again." : ""
        return DatabaseError("\(what).\(hint) It says:\n\(tail)")
    }

    private static func reason() -> String { String(cString: strerror(errno)) }
}
