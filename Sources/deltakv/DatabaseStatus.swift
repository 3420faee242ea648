// SPDX-License-Identifier: Apache-2.0

import Database
import Foundation
import Service

/// What `deltakv db status` shows.
struct DatabaseStatus: Encodable {
    /// Where the server is: host and database, never a password.
    let server: String
    /// Whether the server is one of ours.
    let isPrivate: Bool
    /// Whether it answers.
    let isUp: Bool
    /// Migrations applied.
    let applied: [String]
    /// Migrations that `deltakv db migrate` would apply.
    let pending: [String]

    /// Looks at the server without changing anything.
    init(location: DatabaseLocation, installation: Installation) async throws {
        server = "\(location.settings)"
        if case .privateCluster(let cluster) = location {
            isPrivate = true
            guard cluster.status().processID != nil else {
                isUp = false
                applied = []
                pending = []
                return
            }
        } else {
            isPrivate = false
        }
        let migrations = try await Migrator(directory: installation.migrations).status(location.settings)
        isUp = true
        applied = migrations.filter { $0.appliedAt != nil }.map(\.name)
        pending = migrations.filter { $0.appliedAt == nil }.map(\.name)
    }

    /// The status in lines.
    var text: String {
        guard isUp else { return "The private PostgreSQL (\(server)) is down. Start it with: deltakv db up" }
        let kind = isPrivate ? "The private PostgreSQL" : "Your own PostgreSQL"
        let schema =
            pending.isEmpty
            ? "the schema is up to date (\(applied.count) migrations)"
            : "migrations to apply: \(pending.joined(separator: ", ")). Run: deltakv db migrate"
        return "\(kind) (\(server)) is up; \(schema)."
    }
}
