// SPDX-License-Identifier: Apache-2.0
import Foundation
import PostgreSQL
import TestSupport
import Testing

/// Runs `body` with a connection to a fresh database.
func withTestConnection(_ body: (PostgresConnection) async throws -> Void) async throws {
    try await withTestDatabase { settings in
        let connection = try await PostgresConnection.connect(settings)
        try await body(connection)
        await connection.close()
    }
}

/// The `PostgresError` that `body` throws.
func postgresError(_ body: () async throws -> Void) async -> PostgresError? {
    await #expect(throws: PostgresError.self) { try await body() }
}

@Suite struct StatementTests {
    @Test func extremesComeBackAsTheyWere() async throws {
        try await withTestConnection { connection in
            let bytes = [UInt8](0...255)
            let texts: [String?] = ["", "NULL", nil, "{a,\"b\\c'\"}", "😀\n\t"]
            let date = Date(timeIntervalSince1970: 1_700_000_000.25)
            let row = try await connection.query(
                """
                SELECT $1::int8 AS low, $2::int8 AS high, $3::float8 AS nan, $4::float8 AS infinite, $5::float8 AS tiny,
                       $6::bytea AS bytes, $7::text[] AS texts, $8::int8[] AS empty, $9::float8[] AS doubles,
                       $10::bool[] AS flags, $11::timestamptz AS date, $12::bool AS flag, $13::text AS nothing,
                       $14::int4 AS small, $15::text AS "quo""ted", $16::uuid AS uuid
                """,
                [
                    Int64.min, Int64.max, Double.nan, -Double.infinity, Double.leastNonzeroMagnitude, bytes, texts,
                    [Int](),
                    [Double?.some(.nan), nil, 0.1, -.infinity], [true, false], date, false, PostgresValue.null,
                    Int32.min, "x'y\"\\ ü😀", UUID(uuidString: "0C9A6F4E-2BD5-4B0F-9D3C-0A1B2C3D4E5F"),
                ]
            ).onlyRow()
            #expect(try row.get("low") == Int64.min)
            #expect(try row.get("high") == Int64.max)
            #expect(try row.get("nan", as: Double.self).isNaN)
            #expect(try row.get("infinite") == -Double.infinity)
            #expect(try row.get("tiny") == Double.leastNonzeroMagnitude)
            #expect(try row.get("bytes") == bytes)
            #expect(try row.get("texts") == texts)
            #expect(try row.get("empty") == [Int]())
            let doubles: [Double?] = try row.get("doubles")
            #expect(doubles.count == 4 && doubles[0]?.isNaN == true && doubles[1...] == [nil, 0.1, -.infinity])
            #expect(try row.get("flags") == [true, false])
            #expect(try row.get("date") == date)
            #expect(try row.get("flag") == false)
            #expect(try row.get("nothing", as: String?.self) == nil)
            #expect(try row.get("small") == Int32.min)
            #expect(try row.get("quo\"ted") == "x'y\"\\ ü😀")
            #expect(try row.get("uuid", as: UUID.self).uuidString == "0C9A6F4E-2BD5-4B0F-9D3C-0A1B2C3D4E5F")
            #expect(try row.get(0) == Int64.min)
        }
    }

    @Test func textFitsTypesThatTheServerInfers() async throws {
        try await withTestConnection { connection in
            try await connection.script("CREATE TABLE t (j jsonb, u uuid, d timestamptz, e text)")
            let inserted = try await connection.query(
                "INSERT INTO t VALUES ($1, $2, $3, $4)",
                [#"{"a": 1}"#, "0c9a6f4e-2bd5-4b0f-9d3c-0a1b2c3d4e5f", "2026-01-02 03:04:05+00", "e"])
            #expect(inserted.affectedRows == 1)
            #expect(inserted.commandTag == "INSERT 0 1")
            let row = try await connection.query("SELECT j, j->>'a' AS a FROM t").onlyRow()
            #expect(try row.get("a") == "1")
            #expect(try row.get("j") == #"{"a": 1}"#)
        }
    }

    @Test func wrongReadingIsATypedError() async throws {
        try await withTestConnection { connection in
            let row = try await connection.query(
                "SELECT 1 AS n, NULL::int AS nothing, 'x' AS t, 3000000000 AS big, '{{1,2}}'::int[] AS deep, ARRAY[1,NULL] AS holes"
            ).onlyRow()
            #expect(
                throws: PostgresDecodingError.missingColumn(
                    "m", available: ["n", "nothing", "t", "big", "deep", "holes"])
            ) {
                try row.get("m", as: Int.self)
            }
            #expect(
                throws: PostgresDecodingError.missingColumn(
                    "6", available: ["n", "nothing", "t", "big", "deep", "holes"])
            ) {
                try row.get(6, as: Int.self)
            }
            #expect(throws: PostgresDecodingError.unexpectedNull(column: "nothing", wanted: "Int")) {
                try row.get("nothing", as: Int.self)
            }
            #expect(throws: PostgresDecodingError.wrongType(column: "t", typeID: 25, wanted: "Int")) {
                try row.get("t", as: Int.self)
            }
            #expect(throws: PostgresDecodingError.invalidValue(column: "big", wanted: "Int32")) {
                try row.get("big", as: Int32.self)
            }
            #expect(throws: PostgresDecodingError.invalidValue(column: "deep", wanted: "[Int]")) {
                try row.get("deep", as: [Int].self)
            }
            #expect(throws: PostgresDecodingError.unexpectedNull(column: "holes", wanted: "[Int]")) {
                try row.get("holes", as: [Int].self)
            }
            #expect(try row.get("holes", as: [Int?].self) == [1, nil])
            let none = try await connection.query("SELECT 1 WHERE false")
            #expect(try none.onlyRowIfAny()?.get(0, as: Int.self) == nil)
            #expect(throws: PostgresDecodingError.wrongRowCount(0, expected: "one was")) { try none.onlyRow() }
        }
    }

    @Test func nulInTextIsRefusedBeforeItIsSent() async throws {
        try await withTestConnection { connection in
            let error = await postgresError { try await connection.query("SELECT $1::text", ["a\0b"]) }
            #expect(error?.kind == .invalidRequest && error?.sqlState == "22021")
            await #expect(throws: PostgresError.self) { try await connection.query("SELECT 1\0; DROP TABLE x") }
            await #expect(throws: PostgresError.self) { try await connection.script("SELECT 1\0") }
            await #expect(throws: PostgresError.self) {
                try await connection.query("SELECT 1", Array(repeating: 1, count: 70_000))
            }
            let row = try await connection.query("SELECT 7 AS n").onlyRow()
            #expect(try row.get("n") == 7)
        }
    }

    @Test func bigValuesGoBothWays() async throws {
        try await withTestConnection { connection in
            let text = String(repeating: "0123456789abcdeü", count: (50 << 20) / 16)
            let row = try await connection.query("SELECT $1::text AS t, octet_length($1::text) AS n", [text]).onlyRow()
            #expect(try row.get("n") == text.utf8.count)
            // Not ==, whose failure would print the text.
            let back: String = try row.get("t")
            let isSame = back == text
            #expect(isSame)
        }
    }

    @Test func errorsCarryTheServersFields() async throws {
        try await withTestConnection { connection in
            try await connection.script(
                "CREATE TABLE t (id int PRIMARY KEY, body text CONSTRAINT short CHECK (length(body) < 5))")
            try await connection.query("INSERT INTO t VALUES (1, 'a')")
            let duplicate = await postgresError { try await connection.query("INSERT INTO t VALUES (1, 'b')") }
            #expect(duplicate?.kind == .server && duplicate?.sqlState == "23505" && duplicate?.severity == "ERROR")
            #expect(duplicate?.constraint == "t_pkey" && duplicate?.table == "t")
            #expect(duplicate?.detail?.contains("(id)=(1)") == true)
            #expect(duplicate?.isTransient == false && duplicate?.isConnectionLoss == false)
            let long = await postgresError { try await connection.query("INSERT INTO t VALUES (2, 'secret text')") }
            #expect(long?.constraint == "short")
            #expect(long?.detail?.contains("secret text") == true)
            #expect(long.map { $0.description.contains("secret text") } == false)
            let syntax = await postgresError { try await connection.query("SELEC 1") }
            #expect(syntax?.sqlState == "42601" && syntax?.position == 1)
            let division = await postgresError { try await connection.script("SELECT 1; SELECT 1/0; SELECT 2") }
            #expect(division?.sqlState == "22012")
            try await connection.script("SET statement_timeout = 20")
            let slow = await postgresError { try await connection.query("SELECT pg_sleep(20)") }
            #expect(slow?.sqlState == "57014" && slow?.isTransient == true)
        }
    }

    @Test func scriptsAndEmptyStatements() async throws {
        try await withTestConnection { connection in
            let last = try await connection.script(
                "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2); SELECT n FROM t")
            #expect(last.count == 2)
            #expect(try last.map { try $0.get("n", as: Int.self) } == [1, 2])
            #expect(try await connection.script("").isEmpty)
            #expect(try await connection.query("  ").isEmpty)
        }
    }

    @Test func copyAsAQueryIsRefusedAndHarmless() async throws {
        try await withTestConnection { connection in
            try await connection.script("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 20000)")
            for sql in ["COPY t FROM STDIN", "COPY t TO STDOUT"] {
                let error = await postgresError { try await connection.query(sql) }
                #expect(error?.kind == .invalidRequest)
            }
            #expect(try await connection.query("SELECT count(*) AS n FROM t").onlyRow().get("n") == 20_000)
        }
    }

    @Test func preparedStatementsAreReusedAndReplaced() async throws {
        try await withTestConnection { connection in
            func prepared() async throws -> Int {
                try await connection.query("SELECT count(*) AS n FROM pg_prepared_statements").onlyRow().get("n")
            }
            try await connection.script("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
            for number in 1...3 {
                let row = try await connection.query("SELECT $1::int8 AS n", [number], prepared: true).onlyRow()
                #expect(try row.get("n") == number)
            }
            #expect(try await prepared() == 1)
            await #expect(throws: PostgresError.self) { try await connection.query("SELECT nope", [], prepared: true) }
            try await connection.query("SELECT * FROM t", [], prepared: true)
            try await connection.script("ALTER TABLE t ADD m int DEFAULT 5")
            let stale = await postgresError { try await connection.query("SELECT * FROM t", [], prepared: true) }
            #expect(stale?.sqlState == "0A000")
            let row = try await connection.query("SELECT * FROM t", [], prepared: true).onlyRow()
            #expect(try row.get("m") == 5)
        }
    }

    @Test func datesAreReadWhateverTheStyle() async throws {
        try await withTestDatabase { settings in
            var german = settings
            german.keywords["options"] = "-c DateStyle=German -c TimeZone=Asia/Kolkata"
            let connection = try await PostgresConnection.connect(german)
            let row = try await connection.query("SELECT to_timestamp(86400.5) AS t, 'infinity'::timestamptz AS i")
                .onlyRow()
            #expect(try row.get("t") == Date(timeIntervalSince1970: 86400.5))
            #expect(throws: PostgresDecodingError.self) { try row.get("i", as: Date.self) }
            await connection.close()
        }
    }
}
