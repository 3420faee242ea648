// SPDX-License-Identifier: Apache-2.0

import Database
import PostgreSQL
import TestSupport
import Testing

/// A migrated database and a program that uses it.
func withQueue(_ body: (Program, PostgresClient) async throws -> Void) async throws {
    try await withTestDatabase { settings in
        let keywords = settings.keywords
        let program = Program(environment: [
            "DATABASE_URL": "", "PGHOST": keywords["host"] ?? "", "PGPORT": keywords["port"] ?? "5432",
            "PGUSER": keywords["user"] ?? "", "PGDATABASE": keywords["dbname"] ?? "",
        ])
        let migration = try await program.run("db", "migrate")
        try #require(migration.status == 0, "\(migration.errors)")
        let client = PostgresClient(settings)
        do {
            try await body(program, client)
            await client.close()
        } catch {
            await client.close()
            throw error
        }
    }
}
