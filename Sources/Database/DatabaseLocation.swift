// SPDX-License-Identifier: Apache-2.0
import Foundation
import Logging
import PostgreSQL

/// Which database deltakv works with.
public enum DatabaseLocation: Sendable {
    /// A server that someone else runs.
    case external(PostgresSettings)
    /// A server of our own.
    case privateCluster(PrivateCluster)

    /// A URL given, else `DATABASE_URL`, else the `PG*` variables when `PGHOST`, `PGHOSTADDR` or `PGSERVICE` is among
    /// them, else a private cluster under `dataDirectory` or the standard one. Throws `PostgresError` for a bad URL and
    /// `DatabaseError` where no data directory can be named.
    public static func resolve(
        url: String? = nil, dataDirectory: String? = nil,
        environment: [String: String] = ProcessInfo.processInfo.environment,
        logger: Logger = Logger(label: "deltakv.database")
    ) throws -> DatabaseLocation {
        var environment = environment
        if let url { environment["DATABASE_URL"] = url }
        let names = ["DATABASE_URL", "PGHOST", "PGHOSTADDR", "PGSERVICE"]
        if names.contains(where: { environment[$0]?.isEmpty == false }) {
            return .external(try PostgresSettings(environment: environment))
        }
        let directory = try dataDirectory ?? DataDirectory.standard(environment: environment)
        return .privateCluster(PrivateCluster(dataDirectory: directory, environment: environment, logger: logger))
    }

    /// How the database is reached.
    public var settings: PostgresSettings {
        switch self {
        case .external(let settings): settings
        case .privateCluster(let cluster): cluster.settings
        }
    }
}
