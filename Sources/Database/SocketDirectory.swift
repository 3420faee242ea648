// SPDX-License-Identifier: Apache-2.0
import Crypto
import Foundation
import Glibc

/// The private directory of a cluster's unix socket. Its permissions are the cluster's only access control.
struct SocketDirectory: Sendable {
    let path: String
    /// Whether it lies outside the cluster's own directory.
    let isDetached: Bool

    /// Sockets' names carry a port even where none is opened.
    static let port = 5432
    /// `sun_path` of `sockaddr_un` holds 108 bytes, one of them the zero at the end.
    private static let maximumPath = 107

    /// `cluster/socket`, or a short name under the runtime directory or /tmp when that is too long for a socket or holds a
    /// comma, which libpq takes for the end of a host's name.
    init(cluster: String, environment: [String: String]) {
        let inside = "\(cluster)/socket"
        if Self.fits(inside) {
            path = inside
            isDetached = false
            return
        }
        let digest = SHA256.hash(data: Data(cluster.utf8)).prefix(8).map { String(format: "%02x", $0) }.joined()
        let runtime = geteuid() == 0 ? nil : environment["XDG_RUNTIME_DIR"].flatMap { $0.hasPrefix("/") ? $0 : nil }
        let bases = (runtime.map { [$0] } ?? []) + ["/tmp"]
        let paths = bases.map { "\($0)/deltakv-\(digest)" }
        path = paths.first { Self.fits($0) } ?? "/tmp/deltakv-\(digest)"
        isDetached = true
    }

    /// Makes the directory, or checks that the one there is the account's own and closed to others.
    func prepare(for account: ServerAccount) async throws(DatabaseError) {
        // Fails harmlessly when it exists; what counts is what is there now.
        _ = try await account.run(["/bin/mkdir", "-m", "0700", path])
        var info = stat()
        guard lstat(path, &info) == 0 else {
            throw DatabaseError("The socket directory \(path) cannot be made by user \(account.name).")
        }
        guard info.st_mode & S_IFMT == S_IFDIR, info.st_uid == account.userID, info.st_mode & 0o077 == 0 else {
            throw DatabaseError(
                "\(path) must be a directory of user \(account.name) that no one else may enter (mode 0700). Someone else"
                    + " made it or its mode was changed: remove it and try again.")
        }
    }

    private static func fits(_ directory: String) -> Bool {
        "\(directory)/.s.PGSQL.\(port)".utf8.count <= maximumPath && !directory.contains(",")
    }
}
