// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Monitoring
import PostgreSQL

/// Reads what the dashboard shows, as the role `deltakv_reader`: the server itself sees to it that no text is read and
/// nothing written.
actor DashboardReader {
    private let client: PostgresClient
    private let logger: Logger
    private var known: [String: (json: String, at: ContinuousClock.Instant)] = [:]
    private var underWay: Task<String, any Error>?

    init(_ settings: PostgresSettings, logger: Logger) {
        var settings = settings
        let restrictions =
            "-c role=deltakv_reader -c default_transaction_read_only=on -c statement_timeout=5s -c jit=off"
        settings.keywords["options"] = [settings.keywords["options"], restrictions].compactMap(\.self)
            .joined(separator: " ")
        settings.keywords["application_name"] = "deltakv dashboard"
        client = PostgresClient(settings, size: 2, patience: .seconds(3), logger: logger)
        self.logger = logger
    }

    /// All panels as one JSON object. A panel that could not be read is null, and `problems` says why.
    func overview() async throws -> String {
        // Whoever comes while it is read gets the same.
        if let underWay { return try await underWay.value }
        let task = Task { try await read() }
        underWay = task
        defer { underWay = nil }
        return try await task.value
    }

    /// Has the database asked again at the next look: something has changed.
    func forget() { known = [:] }

    private func read() async throws -> String {
        let now = ContinuousClock.now
        let stale = Panel.overview.filter { panel in known[panel.name].map { now - $0.at >= panel.freshness } ?? true }
        var problems: [String] = []
        if !stale.isEmpty {
            let answers = try await client.withConnection { connection in
                var answers: [(name: String, json: Result<String, PostgresError>)] = []
                for panel in stale { answers.append((panel.name, try await Self.ask(panel, connection))) }
                return answers
            }
            for (name, answer) in answers {
                switch answer {
                case .success(let json): known[name] = (json, now)
                case .failure(let error):
                    logger.warning("A panel could not be read.", metadata: ["panel": "\(name)", "error": "\(error)"])
                    known[name] = nil
                    problems.append("\(name): \(error)".jsonQuoted)
                }
            }
        }
        let fields = Panel.overview.map { "\($0.name.jsonQuoted):\(known[$0.name]?.json ?? "null")" }
        return """
            {"at":\(Date.now.timeIntervalSince1970),\(fields.joined(separator: ",")),"problems":[\(problems.joined(separator: ","))]}
            """
    }

    /// One panel must not take the others with it, but without a connection there is none.
    private static func ask(
        _ panel: Panel, _ connection: PostgresConnection
    ) async throws -> Result<String, PostgresError> {
        do {
            let rows = try await connection.query(panel.sql, [], prepared: true)
            return .success(try rows.onlyRow().get(0))
        } catch let error as PostgresError where !error.isConnectionLoss {
            return .failure(error)
        }
    }

    /// A job and its course as JSON; nil if there is no such job.
    nonisolated func job(_ id: Int64) async throws -> String? {
        let rows = try await client.idempotentQuery(Panel.job.sql, [id], prepared: true)
        guard let job = try rows.onlyRowIfAny()?.get(0, as: String.self) else { return nil }
        let timeline = try await client.idempotentQuery(Panel.timeline.sql, [id], prepared: true)
        return "{\"job\":\(job),\"timeline\":\(try timeline.onlyRow().get(0, as: String.self))}"
    }
}
