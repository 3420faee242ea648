// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import PostgreSQL
import Testing

@Suite(.serialized) struct NotificationTests {
    @Test func aBulkLoadIsAnnouncedOnce() async throws {
        try await withQueue { fixture in
            let notes = try await notifications(fixture, channel: "deltakv_jobs") {
                try await fixture.client.query("SELECT deltakv.submit('t', g::text) FROM generate_series(1, 1000) g")
            }
            #expect(notes == ["available"])
        }
    }

    @Test func cancellingAndHandingBackAreAnnounced() async throws {
        try await withQueue { fixture in
            let worker = try await fixture.worker()
            let lease = try await fixture.claimOne(worker).lease
            let notes = try await notifications(fixture, channel: "deltakv_jobs") {
                _ = try await worker.release([lease])
                try await fixture.queue.cancel(.batch("b"))
                try await fixture.queue.cancel(.batch("b"))
                _ = try await worker.claim(1, lease: .seconds(60))
            }
            #expect(notes == ["available", "cancel"])
        }
    }

    @Test func theEndOfABatchIsAnnouncedOnce() async throws {
        try await withQueue(connections: 10) { fixture in
            // Many workers end the last jobs together: each must be sure that somebody says so.
            for round in 1...10 {
                let batch = "batch \(round)"
                try await fixture.submit(9, batch: batch)
                let worker = try await fixture.worker()
                let leases = try await worker.claim(9, lease: .seconds(60)).map(\.lease)
                let notes = try await notifications(fixture, channel: "deltakv_batch") {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for lease in leases {
                            group.addTask { _ = try await worker.complete([JobResult(lease)]) }
                        }
                        try await group.waitForAll()
                    }
                }
                let number = try #require(try await fixture.queue.progress(batch: batch).first).batchID
                #expect(notes == [String(number)])
            }
        }
    }

    /// One transaction ends the first job and stays open while another ends all the others: neither sees the other's work.
    @Test(arguments: [2, 102, 300])
    func theEndIsAnnouncedThoughNobodySawIt(jobs: Int) async throws {
        try await withQueue { fixture in
            try await fixture.submit(jobs)
            let worker = try await fixture.worker()
            let leases = try await worker.claim(jobs, lease: .seconds(60)).map(\.lease)
            let notes = try await notifications(fixture, channel: "deltakv_batch") {
                let others = try await fixture.client.transaction { transaction in
                    try await transaction.query(
                        """
                        SELECT * FROM deltakv.complete(
                            $1, ARRAY[$2::bigint], ARRAY[$3::bigint], '{text}', '{stop}', '{1}', '{0}', '{1}', '{0}', '{0}')
                        """, [worker.id, leases[0].jobID, leases[0].token])
                    let others = Task { try await worker.complete(leases.dropFirst().map { JobResult($0) }) }
                    try await waitUntilBlockedOrFinished(fixture, unfinished: 1)
                    return others
                }
                #expect(try await others.value.allSatisfy { $0.state == .completed })
            }
            #expect(notes == ["1"])
        }
    }

    /// Waits until a statement waits for a lock, or no more jobs than `unfinished` are left.
    private func waitUntilBlockedOrFinished(_ fixture: QueueFixture, unfinished: Int) async throws {
        let blocked = """
            SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
            """
        while try await fixture.integer(blocked) == 0,
            try await fixture.queue.unfinished().total > unfinished
        {
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    @Test func wakeUpsTellWhatHappened() async throws {
        try await withQueue { fixture in
            // An interval longer than any test: what comes after the first poll was told.
            var wakeUps = fixture.queue.wakeUps(pollInterval: .seconds(3600)).makeAsyncIterator()
            #expect(await wakeUps.next() == .poll)
            #expect(await wakeUps.next() == .poll)
            try await fixture.submit(1)
            #expect(await wakeUps.next() == .jobsAvailable)
            try await fixture.queue.cancel(.batch("b"))
            #expect(await wakeUps.next() == .cancelRequested)
        }
    }

    @Test func pollsComeWithoutListening() async throws {
        try await withQueue { fixture in
            var wakeUps = fixture.queue.wakeUps(pollInterval: .milliseconds(10), listening: false).makeAsyncIterator()
            for _ in 0..<5 { #expect(await wakeUps.next() == .poll) }
        }
    }

    /// The payloads that arrive on a channel because of `body`.
    private func notifications(
        _ fixture: QueueFixture, channel: String, during body: () async throws -> Void
    ) async throws -> [String] {
        let connection = try await PostgresConnection.connect(fixture.client.settings)
        let stream = try await connection.listen(channel)
        try await body()
        // Notifications come in the order of the commits, so after this one nothing more is to come.
        try await fixture.client.query("SELECT pg_notify($1, 'end')", [channel])
        var payloads: [String] = []
        for await note in stream {
            if note.payload == "end" { break }
            payloads.append(note.payload)
        }
        await connection.close()
        return payloads
    }
}
