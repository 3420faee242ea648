// SPDX-License-Identifier: Apache-2.0
import Foundation
import Logging
import PostgreSQL

/// The jobs that a call is about.
public enum JobSelection: Sendable, Hashable {
    /// One job.
    case job(Int64)
    /// A batch, of every tenant that has one of that name or of the one given.
    case batch(String, tenant: String? = nil)
}

/// The queue of jobs in a migrated database.
///
/// All rules are in SQL functions of the schema `deltakv` (`Migrations/`); this calls them. Methods throw `PostgresError`
/// and `CancellationError`.
public struct JobQueue: Sendable {
    let client: PostgresClient
    let logger: Logger

    /// The queue that the client's database holds.
    public init(client: PostgresClient, logger: Logger = Logger(label: "deltakv.queue")) {
        self.client = client
        self.logger = logger
    }

    /// Signs a worker on.
    public func register(host: String, processID: Int, version: String) async throws -> JobWorker {
        let rows = try await client.query(
            "SELECT deltakv.register_worker($1, $2::integer, $3) AS id", [host, processID, version])
        return JobWorker(id: try rows.onlyRow().get("id"), client: client)
    }

    /// Gives jobs of vanished workers, and attempts past their deadline, another start or ends them. Anybody may call it
    /// at any time; every poll should.
    /// - Returns: the jobs found and the states they are in now
    @discardableResult
    public func rescue() async throws -> [Settlement] {
        let rows = try await client.idempotentQuery("SELECT job_id, state FROM deltakv.rescue()", prepared: true)
        return try rows.map(Settlement.init(row:))
    }

    /// Does what has to be done now and then: submits follow-up jobs and folds counts. Anybody may call it at any time.
    ///
    /// - Parameter retention: Also removes jobs that ended longer ago, a part of them at a time; nil keeps all.
    /// - Returns: How many jobs were removed.
    @discardableResult
    public func tidy(retention: Duration? = nil) async throws -> Int {
        try await client.query(
            "SELECT deltakv.tidy(make_interval(secs => $1)) AS removed", [retention?.inSeconds], prepared: true
        ).onlyRow().get("removed")
    }

    /// Makes a template known to the database, as a new version unless its latest has the same text.
    /// - Returns: the version
    @discardableResult
    public func syncTemplate(named name: String, yaml: String) async throws -> Int {
        try await client.idempotentQuery(
            "SELECT deltakv.sync_template($1, jsonb_build_object('yaml', $2::text)) AS version", [name, yaml]
        ).onlyRow().get("version")
    }

    /// Cancels jobs that have not ended: waiting ones at once, running ones when their worker notices.
    /// - Returns: how many
    @discardableResult
    public func cancel(_ selection: JobSelection) async throws -> Int {
        try await call("cancel", selection)
    }

    /// Gives failed jobs all their attempts again.
    /// - Returns: how many
    @discardableResult
    public func redrive(_ selection: JobSelection) async throws -> Int {
        try await call("redrive", selection)
    }

    private func call(_ function: String, _ selection: JobSelection) async throws -> Int {
        let arguments: [any PostgresEncodable] =
            switch selection {
            case .job(let id): [String?.none, id, String?.none]
            case .batch(let name, let tenant): [name, Int64?.none, tenant]
            }
        return try await client.query("SELECT deltakv.\(function)($1, $2, $3) AS affected", arguments)
            .onlyRow().get("affected")
    }
}
