// SPDX-License-Identifier: Apache-2.0
import PostgreSQL
import TestSupport
import Testing

@Suite struct StatementTests {
    @Test func parametersComeBackAsTheyWere() async throws {
        try await withTestDatabase { settings in
            let connection = try await PostgresConnection.connect(settings)
            let result = try await connection.query("SELECT $1::text AS a, $2 AS b", ["x'y\"\\ ü😀", 42])
            let row = try result.onlyRow()
            #expect(try row.get("a") == "x'y\"\\ ü😀")
            #expect(try row.get("b") == 42)
            await connection.close()
        }
    }
}
