// SPDX-License-Identifier: Apache-2.0
import JobQueue
import PostgreSQL
import Testing

/// Everybody who is not the owner tries everything, and nothing changes or shows. One test for each hole of the kind that
/// queues in SQL are known for: functions left to PUBLIC, one tenant's hands on another's jobs, texts shown to readers,
/// writes of a worker that has lost its job.
@Suite(.serialized) struct AttackTests {
    /// Roles belong to the whole server, which tests that run at the same time share.
    private struct Cast {
        let number = UInt32.random(in: .min ... .max)
        var ann: String { "ann_\(number)" }
        var eve: String { "eve_\(number)" }
        var reader: String { "reader_\(number)" }
        var stranger: String { "stranger_\(number)" }
        var worker: String { "worker_\(number)" }
        var all: [String] { [ann, eve, reader, stranger, worker] }
    }

    private func withCast(_ body: (QueueFixture, Cast) async throws -> Void) async throws {
        try await withQueue { fixture in
            let cast = Cast()
            for role in cast.all { try await fixture.client.script("CREATE ROLE \(role) LOGIN") }
            try await fixture.client.script(
                """
                SELECT deltakv.admit('\(cast.ann)', 'submitter'); SELECT deltakv.admit('\(cast.eve)', 'submitter');
                SELECT deltakv.admit('\(cast.reader)', 'reader'); SELECT deltakv.admit('\(cast.worker)', 'worker');
                """)
            do {
                try await body(fixture, cast)
                try await remove(cast, fixture)
            } catch {
                try? await remove(cast, fixture)
                throw error
            }
        }
    }

    private func remove(_ cast: Cast, _ fixture: QueueFixture) async throws {
        for role in cast.all { try await fixture.client.script("DROP OWNED BY \(role); DROP ROLE \(role)") }
    }

    /// Runs a statement as somebody and returns all that it shows, or the error's code.
    private func attempt(_ sql: String, as role: String, _ fixture: QueueFixture) async throws -> String {
        do {
            return try await fixture.client.transaction { transaction in
                try await transaction.script("SET LOCAL ROLE \(role)")
                let rows = try await transaction.query("SELECT coalesce(json_agg(x), '[]')::text FROM (\(sql)) x")
                return try rows.onlyRow().get(0, as: String.self)
            }
        } catch let error as PostgresError {
            return error.sqlState ?? "no state"
        }
    }

    /// A digest of everything that jobs are, without what sequences and clocks change.
    private func digest(_ fixture: QueueFixture) async throws -> String {
        try await fixture.client.query(
            """
            SELECT md5(concat((SELECT json_agg(j ORDER BY job_id) FROM deltakv.jobs j),
                (SELECT json_agg(q ORDER BY job_id) FROM deltakv.queue q),
                (SELECT json_agg(o ORDER BY job_id) FROM deltakv.outcomes o),
                (SELECT json_agg(b ORDER BY batch_id) FROM deltakv.batches b),
                (SELECT json_agg(d ORDER BY document_id) FROM deltakv.documents d),
                (SELECT json_agg(t ORDER BY tenant) FROM deltakv.tenants t),
                (SELECT json_agg(w ORDER BY worker_id) FROM deltakv.workers w)))
            """
        ).onlyRow().get(0)
    }

    /// Ann's jobs: one that waits, one that runs, one that failed, one with a shared document.
    private func seed(_ fixture: QueueFixture, _ cast: Cast) async throws {
        try await fixture.client.transaction { transaction in
            try await transaction.script("SET LOCAL ROLE \(cast.ann)")
            try await transaction.script(
                """
                SELECT deltakv.submit('t', document => 'SECRET one', batch => 'hers', custom_id => '1');
                SELECT deltakv.submit('t', document => 'SECRET two', batch => 'hers', custom_id => '2');
                SELECT deltakv.submit('t', document => 'SECRET three', batch => 'hers', custom_id => '3');
                SELECT deltakv.ask('SECRET four', ARRAY['SECRET five'], batch => 'hers')
                """)
        }
        let worker = try await fixture.worker()
        let jobs = try await worker.claim(3, lease: .seconds(600))
        _ = try await worker.fail([JobFailure(jobs[0].lease, retryable: false)])
        var result = JobResult(jobs[1].lease, output: "SECRET six")
        result.choices = #"[{"index": 0, "text": "SECRET seven", "finish_reason": "stop"}]"#
        _ = try await worker.complete([result])
    }

    @Test func aForeignTenantSeesAndChangesNothing() async throws {
        try await withCast { fixture, cast in
            try await seed(fixture, cast)
            let before = try await digest(fixture)
            for action in [
                "SELECT deltakv.cancel(batch => 'hers') AS n", "SELECT deltakv.cancel(job_id => 1) AS n",
                "SELECT deltakv.cancel(batch => 'hers', tenant => '\(cast.ann)') AS n",
                "SELECT deltakv.redrive(batch => 'hers') AS n", "SELECT deltakv.redrive(job_id => 1) AS n",
                "SELECT deltakv.pause('hers') AS n", "SELECT deltakv.resume('hers') AS n",
                "SELECT deltakv.reprioritise('hers', 99) AS n", "SELECT deltakv.clone('hers', 'mine') AS n",
                "SELECT count(*)::integer AS n FROM deltakv.batch_page(1, 0, 99)",
                "SELECT count(*)::integer AS n FROM generate_series(1, 9) j, deltakv.recorded_job(j)",
            ] {
                #expect(try await attempt(action, as: cast.eve, fixture) == "[{\"n\":0}]", "\(action)")
            }
            for action in [
                "SELECT deltakv.submit('t', batch => 'hers', tenant => '\(cast.ann)')",
                "SELECT deltakv.submit('t', document_id => 1)", "SELECT deltakv.submit('t', depends_on => '{3}')",
                "SELECT deltakv.submit('t', parent_id => 3)",
                "SELECT deltakv.on_finish('hers', 't', tenant => '\(cast.ann)')",
                "SELECT deltakv.ask('d', '{q}', tenant => '\(cast.ann)')",
                "SELECT deltakv.summarize('d', tenant => '\(cast.ann)')",
                "SELECT deltakv.submit_many('[{\"template\": \"t\"}]', tenant => '\(cast.ann)')",
            ] {
                let state = try await attempt(action, as: cast.eve, fixture)
                #expect(["42501", "22023"].contains(state), "\(action): \(state)")
            }
            #expect(try await attempt("SELECT * FROM deltakv.results", as: cast.eve, fixture) == "[]")
            #expect(try await attempt("SELECT * FROM deltakv.batch_progress", as: cast.eve, fixture) == "[]")
            #expect(try await attempt("SELECT * FROM deltakv.choices", as: cast.eve, fixture) == "[]")
            let insertion = await #expect(throws: PostgresError.self) {
                try await fixture.client.transaction { transaction in
                    try await transaction.script(
                        """
                        SET LOCAL ROLE \(cast.eve);
                        INSERT INTO deltakv.submissions (template, tenant) VALUES ('t', '\(cast.ann)')
                        """)
                }
            }
            #expect(insertion?.sqlState == "42501")
            // Another's document or job in an array is an answer, not a job.
            let array = try await attempt(
                "SELECT error_code FROM deltakv.submit_many('[{\"template\": \"t\", \"document_id\": 1}]')",
                as: cast.eve, fixture)
            #expect(array == "[{\"error_code\":\"invalid_job\"}]")
            #expect(try await digest(fixture) == before)
            // The same work for her: the test would notice if they did nothing at all.
            #expect(
                try await attempt("SELECT output FROM deltakv.choices", as: cast.ann, fixture).contains("SECRET seven"))
            #expect(
                try await attempt(
                    "SELECT r.* FROM generate_series(1, 9) j, deltakv.recorded_job(j) r", as: cast.ann, fixture
                ).contains("SECRET two"))
            #expect(
                try await attempt("SELECT output FROM deltakv.batch_page(1, 0, 99)", as: cast.ann, fixture)
                    .contains("SECRET six"))
            try await fixture.client.transaction { transaction in
                try await transaction.script(
                    "SET LOCAL ROLE \(cast.ann); INSERT INTO deltakv.submissions (template, batch) VALUES ('t', 'hers')"
                )
            }
            #expect(
                try await attempt("SELECT deltakv.cancel(batch => 'hers') AS n", as: cast.ann, fixture) != "[{\"n\":0}]"
            )
        }
    }

    @Test func nobodyTouchesTablesOrFunctionsThatAreNotForThem() async throws {
        try await withCast { fixture, cast in
            try await seed(fixture, cast)
            let before = try await digest(fixture)
            let relations = try await fixture.client.query(
                """
                SELECT oid::regclass::text AS name, relkind = 'r' AS is_table FROM pg_class
                WHERE relnamespace = 'deltakv'::regnamespace AND relkind IN ('r', 'v')
                """)
            for row in relations where try row.get("is_table", as: Bool.self) {
                let table: String = try row.get("name")
                for role in [cast.ann, cast.eve, cast.reader, cast.stranger, cast.worker] {
                    if role == cast.worker, table == "deltakv.migrations" { continue }
                    #expect(
                        try await attempt("SELECT * FROM \(table)", as: role, fixture) == "42501", "\(role) \(table)")
                    let delete = await #expect(throws: PostgresError.self) {
                        try await fixture.client.transaction { transaction in
                            try await transaction.script("SET LOCAL ROLE \(role); DELETE FROM \(table)")
                        }
                    }
                    #expect(delete?.sqlState == "42501", "\(role) \(table)")
                }
            }
            for row in relations {
                let name: String = try row.get("name")
                #expect(try await attempt("SELECT * FROM \(name)", as: cast.stranger, fixture) == "42501", "\(name)")
                let shown = try await attempt("SELECT * FROM \(name)", as: cast.reader, fixture)
                #expect(!shown.contains("SECRET"), "\(name)")
                if name.hasPrefix("deltakv.dashboard") { #expect(shown != "42501", "\(name)") }
            }
            let allowed = try await fixture.client.query(
                """
                SELECT r.name || ' ' || p.proname AS call FROM unnest($1::text[]) AS r (name), pg_proc p
                WHERE p.pronamespace = 'deltakv'::regnamespace AND has_function_privilege(r.name::name, p.oid, 'EXECUTE')
                """, [[cast.reader, cast.stranger]])
            #expect(try allowed.map { try $0.get("call", as: String.self) } == [])
            for call in [
                "deltakv.claim_2(1, 0, 9, '1 hour')", "deltakv.claim_3(1, 0, 9, '1 hour')",
                "deltakv.claim_4(1, 0, 9, '1 hour')", "deltakv.save_checkpoints('{1}', '{1}', '{00}', '{1}')",
                "deltakv.complete_2(1, '{1}', '{1}', '{x}', '{stop}', '{1}', '{1}', '{1}', '{1}', '{1}')",
                "deltakv.pick_alike('\(cast.ann)', 9, true, '{}')", "deltakv.remove_old(now(), 9)",
                "deltakv.rescue()", "deltakv.tidy('0 seconds')",
                "deltakv.retire_worker(1)", "deltakv.sync_template('t', '{}')", "deltakv.settle(NULL)",
                "deltakv.start_jobs(1, '{1,2,3}', '1 hour', NULL, NULL, false)",
                "deltakv.pick('\(cast.ann)', 9, true, '(0,0,)')",
                "deltakv.complete_with_choices(1, '{1}', '{1}', '{x}', '{stop}', '{1}', '{1}', '{1}', '{1}', '{1}', '{}')",
                "deltakv.admit('\(cast.eve)', 'admin')", "deltakv.follow_up(1)", "deltakv.fold_counts()",
            ] {
                #expect(try await attempt("SELECT \(call)", as: cast.eve, fixture) == "42501", "\(call)")
            }
            for call in [
                "deltakv.submit('t')", "deltakv.cancel(batch => 'hers')", "deltakv.redrive(batch => 'hers')",
                "deltakv.recorded_job(1)",
            ] {
                #expect(try await attempt("SELECT \(call)", as: cast.worker, fixture) == "42501", "\(call)")
            }
            #expect(try await digest(fixture) == before)
        }
    }

    @Test func aStaleWorkerChangesNothing() async throws {
        try await withCast { fixture, cast in
            try await seed(fixture, cast)
            let stale = try await fixture.worker()
            let job = try #require(try await stale.claim(1, lease: .seconds(60)).first)
            try await fixture.expireLease(of: job.lease.jobID)
            try await fixture.queue.rescue()
            let other = try await fixture.worker()
            let again = try #require(try await other.claim(1, lease: .seconds(600)).first)
            #expect(again.lease.jobID == job.lease.jobID)
            let before = try await fixture.integer("SELECT count(*) FROM deltakv.outcomes")
            #expect(try await stale.complete([JobResult(job.lease)]).allSatisfy(\.isFenced))
            #expect(try await stale.fail([JobFailure(job.lease, retryable: true)]).allSatisfy(\.isFenced))
            #expect(try await stale.release([job.lease]).allSatisfy(\.isFenced))
            let progress = JobProgress(lease: job.lease, promptTokens: 9, outputTokens: 9)
            #expect(try await stale.heartbeat([progress], lease: .seconds(600)).map(\.reason) == [.lost])
            try await stale.save([JobCheckpoint(lease: job.lease, saved: .sample([1]))])
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.checkpoints") == 0)
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.outcomes") == before)
            #expect(try await fixture.state(of: job.lease.jobID) == .running)
            #expect(
                try await fixture.integer("SELECT fenced_writes FROM deltakv.workers WHERE worker_id = $1", [stale.id])
                    == 3)
            #expect(try await other.complete([JobResult(again.lease)]).map(\.state) == [.completed])
        }
    }
}
