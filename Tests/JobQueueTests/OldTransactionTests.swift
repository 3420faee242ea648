// SPDX-License-Identifier: Apache-2.0
import JobQueue
import PostgreSQL
import Testing

/// While a transaction is open, the server keeps every row that has gone since; workers must not read them all each time.
@Suite(.serialized) struct OldTransactionTests {
    @Test(arguments: [1, 2])
    func claimsPassOverDeadRowsOnceInAWhile(tenants: Int) async throws {
        try await withQueue { fixture in
            try await fixture.client.transaction(.repeatableRead) { old in
                try await old.query("SELECT count(*) FROM deltakv.queue")
                let dead = 10000
                let worker = try await fixture.worker()
                try await fixture.client.query(
                    """
                    SELECT count(deltakv.submit('t', batch => 'gone', tenant => 't' || n % $1::int))
                    FROM generate_series(1, $2::int) n
                    """,
                    [tenants, dead])
                _ = try await worker.release(worker.claim(dead, lease: .seconds(60)).map(\.lease))
                try await fixture.client.query("SELECT deltakv.cancel('gone')")
                try await fixture.client.query("ANALYZE deltakv.queue")
                try await fixture.client.query(
                    "SELECT count(deltakv.submit('t', tenant => 't' || n % $1::int)) FROM generate_series(1, 500) n",
                    [tenants])
                let read = try await fixture.client.transaction { claims in
                    let before = try await entriesRead(claims)
                    let claimed = try await claims.query(
                        "SELECT count(c) FROM generate_series(1, 40) n, deltakv.claim_3($1 + 0 * n, 0, 10, '1 minute') c",
                        [worker.id]
                    ).onlyRow().get(0, as: Int.self)
                    #expect(claimed == 400)
                    return try await entriesRead(claims) - before
                }
                // Once, and now and then again: not by each of the forty.
                #expect(read < 20 * dead)
            }
        }
    }

    /// How many entries of the indexes of waiting and of running jobs this session has read, dead ones too.
    private func entriesRead(_ transaction: PostgresTransaction) async throws -> Int {
        try await transaction.query(
            """
            SELECT pg_stat_get_xact_tuples_returned('deltakv.queue_waiting'::regclass)
                + pg_stat_get_xact_tuples_returned('deltakv.queue_running'::regclass)
            """
        ).onlyRow().get(0)
    }
}
