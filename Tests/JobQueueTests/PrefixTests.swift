// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import PostgreSQL
import Testing

/// Jobs whose prompts begin alike are claimed together and in order.
@Suite(.serialized) struct PrefixTests {
    /// Six questions about each of five documents, in turns, as custom_ids 1-1, 2-1, … 5-6.
    private func submitInTurns(_ fixture: QueueFixture) async throws {
        try await fixture.client.script(
            """
            INSERT INTO deltakv.documents (tenant, content)
            SELECT session_user, repeat('document ' || n || ' ', 300) FROM generate_series(1, 5) n;
            SELECT count(deltakv.submit('ask', document_id => d, custom_id => d || '-' || q,
                variables => jsonb_build_object('question', q::text)))
            FROM (SELECT q, d FROM generate_series(1, 6) q, generate_series(1, 5) d ORDER BY q, d OFFSET 0) turns
            """)
    }

    private func names(_ jobs: [ClaimedJob]) -> [String] { jobs.compactMap(\.customID) }

    @Test func questionsOfADocumentComeTogether() async throws {
        try await withQueue { fixture in
            try await submitInTurns(fixture)
            let worker = try await fixture.worker()
            let first = try await worker.claim(4, lease: .seconds(60))
            #expect(names(first) == ["1-1", "1-2", "1-3", "1-4"])
            let prefix = try #require(first[0].prefixKey)
            #expect(Set(first.map(\.prefixKey)) == [prefix])
            // Another worker begins with another document, this one goes on with its own.
            let other = try await fixture.worker().claim(2, lease: .seconds(60))
            #expect(names(other) == ["2-1", "2-2"])
            let second = try await worker.claim(2, lease: .seconds(60), prefixes: [prefix])
            #expect(names(second) == ["1-5", "1-6"])
            let rest = try await worker.claim(99, lease: .seconds(60))
            // The oldest first, and with it its kin.
            #expect(rest.count == 22)
            #expect(names(rest.filter { $0.prefixKey == rest[0].prefixKey }) == names(Array(rest.prefix(6))))
        }
    }

    @Test func aWorkerGoesOnWithItsDocument() async throws {
        try await withQueue { fixture in
            try await submitInTurns(fixture)
            let worker = try await fixture.worker()
            let everyFirst = try await fixture.client.query(
                "SELECT prefix_key FROM deltakv.queue JOIN deltakv.jobs USING (job_id) WHERE custom_id = '3-1'"
            ).onlyRow().get("prefix_key", as: Int64.self)
            let jobs = try await worker.claim(8, lease: .seconds(60), prefixes: [everyFirst])
            #expect(names(jobs) == (1...6).map { "3-\($0)" } + ["1-1", "1-2"])
        }
    }

    @Test func urgencyGoesBeforeLikeness() async throws {
        try await withQueue { fixture in
            let long = String(repeating: "a long document ", count: 100)
            func submit(_ id: String, _ document: String, priority: Int) -> JobSubmission {
                JobSubmission(template: "t", document: document, customID: id, batch: "b", priority: priority)
            }
            try await fixture.queue.submit([
                submit("a1", long, priority: 0), submit("b1", long + "b", priority: 0),
                submit("a2", long, priority: 0), submit("urgent", "short", priority: 5),
                submit("a0", long, priority: -1), submit("c", "short", priority: 0),
            ])
            let worker = try await fixture.worker()
            let jobs = try await worker.claim(9, lease: .seconds(60))
            #expect(names(jobs) == ["urgent", "a1", "a2", "b1", "c", "a0"])
            #expect(jobs.map { $0.prefixKey != nil } == [false, true, true, true, false, true])
        }
    }

    @Test func tenantsKeepTheirShares() async throws {
        try await withQueue { fixture in
            let long = String(repeating: "a long document ", count: 100)
            for (tenant, count) in [("ann", 30), ("bob", 30)] {
                try await fixture.client.query(
                    "SELECT count(deltakv.submit('t', document => $1, tenant => $2)) FROM generate_series(1, $3::int)",
                    [long, tenant, count])
            }
            let jobs = try await fixture.worker().claim(10, lease: .seconds(60))
            #expect(Dictionary(grouping: jobs, by: \.tenant).mapValues(\.count) == ["ann": 5, "bob": 5])
        }
    }

    @Test func aClaimLocksFewMoreThanItTakes() async throws {
        try await withQueue { fixture in
            try await submitInTurns(fixture)
            let worker = try await fixture.worker()
            try await fixture.client.transaction { claim in
                let jobs = try await claim.query("SELECT * FROM deltakv.claim_3($1, 0, 5, '1 minute')", [worker.id])
                #expect(jobs.count == 5)
                // Of thirty, those that are next and those that begin like the first of them.
                let free = try await fixture.integer(
                    """
                    SELECT count(*) FROM (
                        SELECT FROM deltakv.queue WHERE state = 'available' FOR UPDATE SKIP LOCKED) q
                    """)
                #expect(free >= 30 - 2 * 5)
            }
        }
    }

    @Test func claimsOfDifferentWorkersNeverOverlap() async throws {
        try await withQueue(connections: 8) { fixture in
            try await fixture.client.query(
                """
                SELECT count(deltakv.submit('t', document => repeat('document ' || n % 7, 200))) FROM generate_series(1, 400) n
                """)
            let ids = try await withThrowingTaskGroup(of: [Int64].self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        let worker = try await fixture.worker()
                        var own: [Int64] = [], prefixes: [Int64] = []
                        while true {
                            let jobs = try await worker.claim(6, lease: .seconds(60), prefixes: prefixes)
                            // Others may have had every row that was looked at under lock for a moment.
                            if jobs.isEmpty, try await fixture.queue.unfinished().available == 0 { return own }
                            own += jobs.map(\.lease.jobID)
                            prefixes = jobs.compactMap(\.prefixKey)
                        }
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(ids.count == 400 && Set(ids).count == 400)
            #expect(try await fixture.inconsistencies() == 0)
        }
    }
}
