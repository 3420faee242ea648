// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc

/// The operating-system user that a private cluster belongs to. PostgreSQL refuses to run as root; there another user
/// stands in, and every step on the cluster's files is taken as that user, so that root never follows a link of theirs.
struct ServerAccount: Sendable {
    let name: String
    let userID: uid_t
    let groupID: gid_t
    /// Words before a command that make it run as this user; none for ourselves.
    private let prefix: [String]

    /// Root: `DELTAKV_PG_USER`, else `postgres`. Others: oneself.
    static func current(environment: [String: String]) async throws(DatabaseError) -> ServerAccount {
        guard geteuid() == 0 else {
            let entry = entry(of: geteuid())
            return ServerAccount(name: entry ?? "\(geteuid())", userID: geteuid(), groupID: getegid(), prefix: [])
        }
        let name = environment["DELTAKV_PG_USER"] ?? "postgres"
        guard let ids = identifiers(of: name) else {
            throw DatabaseError(
                "There is no user \"\(name)\" to run PostgreSQL as, and it refuses to run as root. Install the Debian"
                    + " package postgresql, which makes the user postgres, or name another in DELTAKV_PG_USER.")
        }
        guard ids.user != 0 else {
            throw DatabaseError("DELTAKV_PG_USER names root, as which PostgreSQL refuses to run; name another user.")
        }
        let prefix = try await workingPrefix(name: name, user: ids.user, group: ids.group)
        return ServerAccount(name: name, userID: ids.user, groupID: ids.group, prefix: prefix)
    }

    /// Runs a program as this user.
    func run(_ words: [String]) async throws(DatabaseError) -> Command.Outcome {
        try await Command(words: prefix + words).run()
    }

    /// As `run`; throws with what the program wrote where it fails. `purpose` completes "could not".
    @discardableResult
    func require(_ words: [String], to purpose: String) async throws(DatabaseError) -> String {
        let outcome = try await run(words)
        guard outcome.succeeded else {
            let reason = outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
            throw DatabaseError("Could not \(purpose) as user \(name): \(reason)")
        }
        return outcome.output
    }

    /// Each way to change the user is missing or forbidden somewhere, so that the first one that works is taken.
    private static func workingPrefix(name: String, user: uid_t, group: gid_t) async throws(DatabaseError) -> [String] {
        let candidates = [
            ["setpriv", "--reuid=\(user)", "--regid=\(group)", "--init-groups", "--"],
            ["runuser", "-u", name, "--"],
            ["su", "-s", "/bin/sh", name, "-c", "exec \"$0\" \"$@\"", "--"],
        ]
        for candidate in candidates {
            guard let tool = Executables.find(candidate[0]) else { continue }
            let prefix = [tool] + candidate.dropFirst()
            guard let trial = try? await Command(words: prefix + ["/usr/bin/id", "-u"]).run() else { continue }
            if trial.succeeded, trial.output.contains("\(user)") { return prefix }
        }
        throw DatabaseError(
            "None of setpriv, runuser and su can run a program as user \(name). Install the Debian package util-linux, or"
                + " start deltakv as an ordinary user.")
    }

    private static func identifiers(of name: String) -> (user: uid_t, group: gid_t)? {
        var record = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16_384)
        guard getpwnam_r(name, &record, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return (record.pw_uid, record.pw_gid)
    }

    private static func entry(of user: uid_t) -> String? {
        var record = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16_384)
        guard getpwuid_r(user, &record, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return String(cString: record.pw_name)
    }
}

/// Looks for programs where systems keep them, whatever the caller's PATH says.
enum Executables {
    static func find(_ name: String) -> String? {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let directories = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        return directories.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }
}
