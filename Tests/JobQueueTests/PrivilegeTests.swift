// SPDX-License-Identifier: Apache-2.0
import JobQueue
import PostgreSQL
import Testing

@Suite(.serialized) struct PrivilegeTests {
    @Test func thePublicMayDoNothing() async throws {
        try await withQueue { fixture in
            try await fixture.client.script("CREATE ROLE \(Self.stranger)")
            let allowed = try await fixture.client.query(
                """
                SELECT p.oid::regprocedure::text FROM pg_proc p
                WHERE p.pronamespace = 'deltakv'::regnamespace AND has_function_privilege($1::name, p.oid, 'EXECUTE')
                UNION ALL
                SELECT c.oid::regclass::text FROM pg_class c
                WHERE c.relnamespace = 'deltakv'::regnamespace AND c.relkind IN ('r', 'v')
                    AND has_table_privilege($1::name, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES')
                UNION ALL
                SELECT n.nspname::text FROM pg_namespace n
                WHERE n.nspname = 'deltakv' AND has_schema_privilege($1::name, n.oid, 'USAGE, CREATE')
                """, [Self.stranger])
            try await fixture.client.script("DROP ROLE \(Self.stranger)")
            #expect(try allowed.map { try $0.get(0, as: String.self) } == [])
        }
    }

    @Test func functionsDoNotDependOnTheCallersSearchPath() async throws {
        try await withQueue { fixture in
            // Functions with a parsed body (prosqlbody) are bound when they are made. is_sound runs for each row that functions with
            // a path of their own write.
            let loose = try await fixture.client.query(
                """
                SELECT oid::regprocedure::text FROM pg_proc
                WHERE pronamespace = 'deltakv'::regnamespace AND prosqlbody IS NULL
                    AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)
                    AND proname <> 'is_sound'
                """)
            #expect(try loose.map { try $0.get(0, as: String.self) } == [])
        }
    }

    @Test func everythingIsExplained() async throws {
        try await withQueue { fixture in
            let silent = try await fixture.client.query(
                """
                SELECT p.oid::regprocedure::text FROM pg_proc p
                WHERE p.pronamespace = 'deltakv'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
                UNION ALL
                SELECT c.oid::regclass::text FROM pg_class c
                WHERE c.relnamespace = 'deltakv'::regnamespace AND c.relkind IN ('r', 'v')
                    AND c.relname <> 'migrations' AND obj_description(c.oid, 'pg_class') IS NULL
                """)
            #expect(try silent.map { try $0.get(0, as: String.self) } == [])
        }
    }

    @Test func theCallerIsTheRoleActedAs() async throws {
        try await withQueue { fixture in
            try await fixture.client.script("CREATE ROLE \(Self.stranger)")
            let caller = try await fixture.client.transaction { transaction in
                try await transaction.script(
                    """
                    GRANT USAGE ON SCHEMA deltakv TO \(Self.stranger);
                    GRANT EXECUTE ON FUNCTION deltakv.caller() TO \(Self.stranger);
                    SET LOCAL ROLE \(Self.stranger)
                    """)
                return try await transaction.query("SELECT deltakv.caller()").onlyRow().get(0, as: String.self)
            }
            try await fixture.client.script("DROP OWNED BY \(Self.stranger); DROP ROLE \(Self.stranger)")
            #expect(caller == Self.stranger)
        }
    }

    /// Roles belong to the whole server, which tests that run at the same time share.
    private static let stranger = "stranger_\(UInt32.random(in: .min ... .max))"
}
