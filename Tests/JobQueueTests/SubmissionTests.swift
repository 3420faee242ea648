// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import PostgreSQL
import Testing

@Suite(.serialized) struct SubmissionTests {
    @Test func submitsFromATable() async throws {
        try await withQueue { fixture in
            try await fixture.client.script(
                """
                CREATE TABLE articles AS SELECT g AS id, 'text of ' || g AS body FROM generate_series(1, 100000) g;
                SELECT count(deltakv.submit('summarize', document => body, custom_id => id::text, batch => 'q3'))
                FROM articles
                """)
            #expect(try await fixture.queue.unfinished(batch: "q3").available == 100_000)
            let row = try await fixture.client.query(
                "SELECT * FROM deltakv.results WHERE batch = 'q3' AND custom_id = '77777'"
            ).onlyRow()
            #expect(try row.get("state", as: String.self) == "available")
            let detail = try #require(try await fixture.queue.job(row.get("job_id")))
            #expect(detail.document == "text of 77777")
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func sameInputsReturnTheSameJob() async throws {
        try await withQueue { fixture in
            var job = JobSubmission(
                template: "t", document: "d", customID: "1", batch: "b", options: #"{"seed": 1, "top_k": 5}"#)
            let first = try await fixture.queue.submit([job])
            job.options = #"{"top_k":5,"seed":1}"#
            job.priority = 9
            #expect(try await fixture.queue.submit([job, job]) == first + first)
            job.batch = "another"
            #expect(try await fixture.queue.submit([job]) != first)
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.queue") == 2)
        }
    }

    @Test(arguments: ["template", "document", "options", "variables"])
    func otherInputsUnderTheSameNameAreRefused(field: String) async throws {
        try await withQueue { fixture in
            var job = JobSubmission(template: "t", document: "d", customID: "one", batch: "b")
            try await fixture.queue.submit([job])
            switch field {
            case "template": job.template = "u"
            case "document": job.document = nil
            case "options": job.options = #"{"seed": 2}"#
            default: job.variables = "[1]"
            }
            let error = await #expect(throws: PostgresError.self) { try await fixture.queue.submit([job]) }
            #expect(error?.sqlState == "23505")
            #expect(error?.message.contains("custom_id \"one\"") == true)
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.jobs") == 1)
        }
    }

    @Test func concurrentSubmittersOfOneNameGetOneJob() async throws {
        try await withQueue { fixture in
            let job = JobSubmission(template: "t", document: "d", customID: "1", batch: "new")
            let ids = try await withThrowingTaskGroup(of: [Int64].self) { group in
                for _ in 0..<8 { group.addTask { try await fixture.queue.submit([job]) } }
                return try await group.reduce(into: Set<Int64>()) { $0.formUnion($1) }
            }
            #expect(ids.count == 1)
        }
    }

    @Test(arguments: ["[]", "null", "\"text\"", "-1", #"{"no_such": {}, "max_tokens": -5}"#])
    func badOptionsAreStoredAsTheyAreAndFailOnTheirRow(options: String) async throws {
        try await withQueue { fixture in
            let ids = try await fixture.queue.submit([
                JobSubmission(template: "t", options: options, variables: options), JobSubmission(template: "t"),
            ])
            let job = try #require(try await fixture.queue.job(ids[0]))
            #expect(job.summary.state == .failed)
            #expect(job.summary.error?.code == "invalid_options")
            #expect(job.errors.map(\.error.code) == ["invalid_options"])
            #expect(job.options == options && job.variables == options && job.document == nil)
            #expect(try await fixture.worker().claim(9, lease: .seconds(9)).map(\.lease.jobID) == [ids[1]])
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func whatCannotBeStoredIsRefusedWithAReason() async throws {
        try await withQueue { fixture in
            for (sql, state) in [
                ("SELECT deltakv.submit(NULL)", "22004"),
                ("SELECT deltakv.submit('t', max_attempts => 0)", "22023"),
                ("SELECT deltakv.submit('t', max_attempts => 101)", "22023"),
                ("SELECT deltakv.submit('t', options => '{')", "22P02"),
                ("SELECT deltakv.cancel()", "22023"),
                ("SELECT deltakv.cancel(batch => 'b', job_id => 1)", "22023"),
                ("SELECT deltakv.redrive()", "22023"),
            ] {
                let error = await #expect(throws: PostgresError.self, "\(sql)") { try await fixture.client.query(sql) }
                #expect(error?.sqlState == state, "\(sql)")
            }
            await #expect(throws: JobQueueError.nulInText(index: 1, field: "document")) {
                _ = try await fixture.queue.submit([
                    JobSubmission(template: "t"), JobSubmission(template: "t", document: "a\u{0}b"),
                ])
            }
            let stored = try await fixture.integer("SELECT count(*) FROM deltakv.jobs")
            #expect(stored == 0)
        }
    }

    @Test func nullsMeanTheDefaults() async throws {
        try await withQueue { fixture in
            try await fixture.client.query(
                """
                SELECT deltakv.submit('t', NULL, custom_id => NULL, batch => NULL, options => NULL, variables => NULL,
                    priority => NULL, run_at => NULL, tenant => NULL, max_attempts => NULL)
                """)
            let job = try #require(try await fixture.queue.jobs().first)
            #expect(job.batch == "default")
            let role: String = try await fixture.client.query("SELECT session_user").onlyRow().get(0)
            #expect(job.tenant == role)
            #expect(job.maxAttempts == 3)
            #expect(job.priority == 0)
        }
    }

    @Test func idsComeInTheOrderGiven() async throws {
        try await withQueue { fixture in
            let texts = (0..<1203).map { "document \($0) äöü 漢字 {\"}\\" }
            let ids = try await fixture.queue.submit(texts.map { JobSubmission(template: "t", document: $0) })
            #expect(ids == ids.sorted())
            #expect(ids.count == texts.count)
            #expect(try await fixture.queue.job(ids[777])?.document == texts[777])
        }
    }

    @Test func tenantsDoNotShareNames() async throws {
        try await withQueue { fixture in
            for tenant in ["ann", "bob"] {
                try await fixture.client.query(
                    "SELECT deltakv.submit('t', $1, custom_id => 'x', batch => 'b', tenant => $1)", [tenant])
            }
            #expect(try await fixture.queue.progress(batch: "b").count == 2)
            #expect(try await fixture.queue.cancel(.batch("b", tenant: "ann")) == 1)
            #expect(try await fixture.queue.unfinished(batch: "b", tenant: "ann").total == 0)
            #expect(try await fixture.queue.unfinished(batch: "b").total == 1)
            #expect(try await fixture.queue.cancel(.batch("b")) == 1)
        }
    }
}
