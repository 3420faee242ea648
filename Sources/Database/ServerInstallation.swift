// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc

/// The programs of one PostgreSQL version.
struct ServerInstallation: Sendable {
    let binaries: String
    let majorVersion: Int

    /// The oldest version whose features we use.
    static let minimumVersion = 15

    func path(_ program: String) -> String { "\(binaries)/\(program)" }

    /// `DELTAKV_PG_BIN`, else the newest version under /usr/lib/postgresql, else what is on the PATH; with `version`
    /// only that one. Throws when there is none.
    static func find(version: Int?, environment: [String: String]) async throws(DatabaseError) -> ServerInstallation {
        if let directory = environment["DELTAKV_PG_BIN"], !directory.isEmpty {
            let installation = try await inspect(directory)
            guard let installation else {
                throw DatabaseError("DELTAKV_PG_BIN is \(directory), where there is no program initdb.")
            }
            return try installation.checked(version: version)
        }
        var found: [ServerInstallation] = []
        for directory in candidates() {
            if let installation = try await inspect(directory) { found.append(installation) }
        }
        let suitable = found.first { version == nil ? $0.majorVersion >= minimumVersion : $0.majorVersion == version }
        if let suitable { return suitable }
        if let newest = found.first { return try newest.checked(version: version) }
        throw DatabaseError(
            "PostgreSQL is not installed. Install it with: apt-get install postgresql. If it is in an unusual place, name"
                + " the directory of its programs in DELTAKV_PG_BIN; to use a server elsewhere, set DATABASE_URL.")
    }

    private func checked(version: Int?) throws(DatabaseError) -> ServerInstallation {
        if let version, version != majorVersion {
            throw DatabaseError(
                "The data directory was made by PostgreSQL \(version), but \(binaries) holds version \(majorVersion)."
                    + " Install the Debian package postgresql-\(version), or move the data with pg_upgrade.")
        }
        guard majorVersion >= Self.minimumVersion else {
            throw DatabaseError(
                "\(binaries) holds PostgreSQL \(majorVersion); version \(Self.minimumVersion) or later is needed.")
        }
        return self
    }

    private static func candidates() -> [String] {
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        let newestFirst = versions.compactMap { Int($0) }.sorted(by: >).map { "\(root)/\($0)/bin" }
        let onPath = Executables.find("initdb").map { ($0 as NSString).resolvingSymlinksInPath }
        return newestFirst + (onPath.map { [($0 as NSString).deletingLastPathComponent] } ?? [])
    }

    private static func inspect(_ directory: String) async throws(DatabaseError) -> ServerInstallation? {
        let programs = ["initdb", "pg_ctl", "postgres"].map { "\(directory)/\($0)" }
        guard programs.allSatisfy({ access($0, X_OK) == 0 }) else { return nil }
        let outcome = try await Command(words: ["\(directory)/initdb", "--version"]).run()
        // "initdb (PostgreSQL) 15.20 (Debian …)"
        let version = outcome.output.split(separator: " ").compactMap { $0.split(separator: ".").first }
        guard outcome.succeeded, let major = version.compactMap({ Int($0) }).first else { return nil }
        return ServerInstallation(binaries: directory, majorVersion: major)
    }
}
