// SPDX-License-Identifier: Apache-2.0
import PostgreSQL
import TestSupport
import Testing

@Suite struct CopyTests {
    private let target = PostgresCopyTarget(schema: "public", table: "odd \"name\"", columns: ["id", "Body text", "n"])
    private let create = #"CREATE TABLE "odd ""name""" (id int PRIMARY KEY, "Body text" text, n float8)"#

    @Test func hostileTextArrivesUnchanged() async throws {
        try await withTestConnection { connection in
            try await connection.script(create)
            let texts: [String?] = [
                "", nil, "\\N", "\\.", "\\", "a\tb", "a\nb", "a\r\nb", "'; DROP TABLE x; --", "\u{8}\u{c}\u{b}\u{1}",
                "😀é",
                "NULL", "\\x41", "\n\\.\n", String(repeating: "\\\t\n", count: 200_000),
            ]
            let rows = texts.enumerated().map {
                [PostgresValue.int8(Int64($0.offset)), $0.element.postgresValue, .float8(.nan)]
            }
            #expect(try await connection.copyIn(target, rows: rows) == texts.count)
            let back = try await connection.query(#"SELECT "Body text" AS t FROM "odd ""name""" ORDER BY id"#)
            for (text, row) in zip(texts, back) {
                let isSame = try row.get("t", as: String?.self) == text
                #expect(isSame, "\(text?.prefix(20) ?? "null")")
            }
        }
    }

    @Test func rowsFromAnAsyncSequence() async throws {
        try await withTestConnection { connection in
            try await connection.script(create)
            let rows = AsyncStream<[PostgresValue]> { continuation in
                for id in 0..<50_000 { continuation.yield([.int8(Int64(id)), .text("row \(id)"), .null]) }
                continuation.finish()
            }
            #expect(try await connection.copyIn(target, rows: rows) == 50_000)
            #expect(try await connection.copyIn(target, rows: [[PostgresValue]]()) == 0)
        }
    }

    @Test func allRowsOrNone() async throws {
        try await withTestConnection { connection in
            try await connection.script(create)
            let duplicate = (0..<20_000).map { [PostgresValue.int8($0 == 19_999 ? 0 : $0), .text("x"), .null] }
            let error = await postgresError { _ = try await connection.copyIn(target, rows: duplicate) }
            #expect(error?.sqlState == "23505")
            let early = [[PostgresValue.text("no number"), .null, .null]] + duplicate
            let syntax = await postgresError { _ = try await connection.copyIn(target, rows: early) }
            #expect(syntax?.sqlState == "22P02")
            let short = await postgresError {
                _ = try await connection.copyIn(target, rows: duplicate.dropLast() + [[.null]])
            }
            #expect(short?.kind == .invalidRequest)
            let nul = await postgresError {
                _ = try await connection.copyIn(target, rows: [[.int8(1), .text("a\0"), .null]])
            }
            #expect(nul?.sqlState == "22021")
            let missing = PostgresCopyTarget(table: "nowhere", columns: ["a"])
            let unknown = await postgresError { _ = try await connection.copyIn(missing, rows: [[.null]]) }
            #expect(unknown?.sqlState == "42P01")
            #expect(try await connection.query(#"SELECT count(*) AS n FROM "odd ""name""""#).onlyRow().get("n") == 0)
        }
    }

    @Test func cancellationStoresNothing() async throws {
        try await withTestConnection { connection in
            try await connection.script(create)
            let task = Task {
                let endless = AsyncStream<[PostgresValue]> {
                    try? await Task.sleep(for: .microseconds(50))
                    return [.int8(Int64.random(in: 0...1_000_000_000)), .text("x"), .null]
                }
                return try await connection.copyIn(target, rows: endless)
            }
            try await Task.sleep(for: .milliseconds(50))
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(try await connection.query(#"SELECT count(*) AS n FROM "odd ""name""""#).onlyRow().get("n") == 0)
        }
    }

    @Test func insideATransaction() async throws {
        try await withTestDatabase { settings in
            let client = PostgresClient(settings)
            try await client.script(create)
            try await client.transaction { transaction in
                try await transaction.copyIn(target, rows: [[.int8(1), .text("a"), .null]])
                let row = try await transaction.query(#"SELECT count(*) AS n FROM "odd ""name""""#).onlyRow()
                #expect(try row.get("n") == 1)
            }
            #expect(try await client.copyIn(target, rows: [[.int8(2), .text("b"), .null]]) == 1)
            await client.close()
        }
    }
}
