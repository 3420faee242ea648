// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import PostgreSQL
import Testing

/// Finished jobs leave when they are old, with everything that belongs to them, and nothing else does.
@Suite(.serialized) struct RetentionTests {
    @Test func oldJobsLeaveWithAllThatBelongsToThem() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            let young = try await fixture.claimOne(worker)
            _ = try await worker.complete([JobResult(young.lease)])
            try await fixture.client.script(
                "SELECT deltakv.ask('shared by all', ARRAY['a', 'b', 'c'], custom_id => 'q')")
            let asked = try await worker.claim(2, lease: .seconds(60))
            _ = try await worker.complete([JobResult(asked[0].lease)])
            _ = try await worker.fail([JobFailure(asked[1].lease, retryable: false)])
            try await age("custom_id IS NOT NULL", fixture)
            #expect(try await fixture.queue.tidy() == 0)
            #expect(try await fixture.queue.tidy(retention: .seconds(3600)) == 2)
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.jobs") == 2)
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.outcomes") == 1)
            for table in ["job_events", "job_errors"] {
                #expect(
                    try await fixture.integer(
                        "SELECT count(*) FROM deltakv.\(table) e LEFT JOIN deltakv.jobs j USING (job_id) WHERE j.job_id IS NULL"
                    )
                        == 0)
            }
            // The third question still needs the document.
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.documents") == 1)
            let last = try #require(try await worker.claim(1, lease: .seconds(60)).first)
            #expect(last.document == "shared by all")
            _ = try await worker.complete([JobResult(last.lease)])
            try await age("custom_id IS NOT NULL", fixture)
            // The search goes on where it was, and begins again at the end.
            var removed = 0
            for _ in 0..<2 { removed += try await fixture.queue.tidy(retention: .seconds(3600)) }
            #expect(removed == 1)
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.documents") == 0)
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    @Test func whatOthersWaitForStays() async throws {
        try await withQueue { fixture in
            let first = try await fixture.integer("SELECT deltakv.submit('t', custom_id => 'first')")
            try await fixture.client.query(
                "SELECT deltakv.submit('t', gathers => true, depends_on => ARRAY[$1::bigint], run_at => now() + interval '1 hour')",
                [first])
            let worker = try await fixture.worker()
            let job = try #require(try await worker.claim(1, lease: .seconds(60)).first)
            _ = try await worker.complete([JobResult(job.lease, output: "needed")])
            try await age("true", fixture)
            #expect(try await fixture.queue.tidy(retention: .seconds(3600)) == 0)
            try await fixture.client.script("UPDATE deltakv.queue SET run_at = now() WHERE state = 'scheduled'")
            let second = try #require(try await worker.claim(1, lease: .seconds(60)).first)
            #expect(second.document == "needed")
        }
    }

    /// A completed job that is old enough to be removed.
    private func finishOne(_ fixture: QueueFixture) async throws -> Int64 {
        let worker = try await fixture.worker()
        let job = try await fixture.claimOne(worker)
        _ = try await worker.complete([JobResult(job.lease, output: "needed")])
        try await age("true", fixture)
        return job.lease.jobID
    }

    /// Until another session waits for a lock.
    private func waitForWaiter(_ fixture: QueueFixture) async throws {
        while try await fixture.integer(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
            == 0
        {
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    @Test func whatAJobBeingSubmittedWaitsForStays() async throws {
        try await withQueue { fixture in
            let first = try await finishOne(fixture)
            try await withThrowingTaskGroup(of: Int.self) { group in
                try await fixture.client.transaction { submission in
                    try await submission.query(
                        "SELECT deltakv.submit('t', gathers => true, depends_on => ARRAY[$1::bigint])", [first])
                    group.addTask { try await fixture.queue.tidy(retention: .seconds(3600)) }
                    try await waitForWaiter(fixture)
                }
                #expect(try await group.next() == 0)
            }
            let second = try #require(try await fixture.worker().claim(1, lease: .seconds(60)).first)
            #expect(second.document == "needed")
        }
    }

    @Test func nothingWaitsForWhatIsBeingRemoved() async throws {
        try await withQueue { fixture in
            let first = try await finishOne(fixture)
            await withThrowingTaskGroup(of: Void.self) { group in
                do {
                    try await fixture.client.transaction { removal in
                        try await removal.query("SELECT deltakv.tidy('1 hour')")
                        group.addTask {
                            try await fixture.client.query(
                                "SELECT deltakv.submit('t', depends_on => ARRAY[$1::bigint])", [first])
                        }
                        try await waitForWaiter(fixture)
                    }
                } catch { Issue.record(error) }
                let error = await #expect(throws: PostgresError.self) { try await group.next() }
                #expect(error?.sqlState == "22023")
            }
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.jobs") == 0)
        }
    }

    @Test func aLargeRecordIsSearchedInParts() async throws {
        try await withQueue { fixture in
            try await fixture.client.script(
                """
                BEGIN;
                SELECT count(deltakv.submit('t', options => '[]')) FROM generate_series(1, 3000);
                COMMIT;
                UPDATE deltakv.outcomes SET failed_at = now() - interval '1 day' WHERE job_id % 2 = 0
                """)
            var removed = 0
            for _ in 0..<60 {
                let now = try await fixture.integer("SELECT deltakv.tidy('1 hour', 100)")
                #expect(now <= 100)
                removed += now
            }
            #expect(removed == 1500)
            #expect(try await fixture.integer("SELECT count(*) FROM deltakv.jobs") == 1500)
            #expect(try await fixture.inconsistencies() == 0)
        }
    }

    private func age(_ condition: String, _ fixture: QueueFixture) async throws {
        try await fixture.client.script(
            """
            UPDATE deltakv.outcomes o SET completed_at = completed_at - interval '2 hours',
                failed_at = failed_at - interval '2 hours'
            FROM deltakv.jobs j WHERE j.job_id = o.job_id AND \(condition)
            """)
    }
}
