// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import PostgreSQL

@Suite struct SettingsTests {
    @Test func urlGoesBeforeVariables() throws {
        let settings = try PostgresSettings(environment: [
            "DATABASE_URL": "postgresql://ann:s%40crets@db.example:6000/jobs?sslmode=require", "PGHOST": "other",
            "PGAPPNAME": "tool", "PGCONNECT_TIMEOUT": "3",
        ])
        #expect(settings.keywords["host"] == "db.example")
        #expect(settings.keywords["password"] == "s@crets")
        #expect(settings.keywords["application_name"] == "tool")
        #expect(settings.connectTimeout == .seconds(3))
        #expect(settings.with(database: "x").keywords["dbname"] == "x")
    }

    @Test func passwordsAreNeverShown() throws {
        let settings = try PostgresSettings(url: "postgresql://ann:secret-word@db.example/jobs")
        var dumped = ""
        dump(settings, to: &dumped)
        #expect(settings.description == "host=db.example dbname=jobs user=ann")
        #expect(!"\(settings)".contains("secret-word") && !String(reflecting: settings).contains("secret-word"))
        #expect(!dumped.contains("secret-word"))
    }

    @Test(arguments: [
        "postgresql://ann:p@secret@db/x", "postgresql://ann:secret@db/x?nonsense=secret",
        "postgresql://ann:%zzsecret@db/x",
        "postgresql://[secret/x", "host='secret",
    ])
    func badURLsAreRefusedWithoutQuotingThem(url: String) {
        let error = #expect(throws: PostgresError.self) { try PostgresSettings(url: url) }
        #expect(error?.kind == .invalidSettings)
        #expect(error.map { !$0.description.contains("secret") } ?? false)
    }
}
