// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import PostgreSQL

/// Reads what the dashboard shows, as the role `deltakv_reader`: the server itself sees to it that no text is read and
/// nothing written.
actor DashboardReader {
    private let client: PostgresClient
    private let logger: Logger
    /// However many people look, the database is asked once in this time.
    private let freshness: Duration
    private var latest: (text: String, at: ContinuousClock.Instant)?
    private var underWay: Task<String, any Error>?

    init(_ settings: PostgresSettings, freshness: Duration = .seconds(1), logger: Logger) {
        var settings = settings
        let restrictions =
            "-c role=deltakv_reader -c default_transaction_read_only=on -c statement_timeout=5s -c jit=off"
        settings.keywords["options"] = [settings.keywords["options"], restrictions].compactMap(\.self).joined(
            separator: " ")
        settings.keywords["application_name"] = "deltakv dashboard"
        client = PostgresClient(settings, size: 2, patience: .seconds(3), logger: logger)
        self.freshness = freshness
        self.logger = logger
    }

    /// All panels as one JSON object. A panel that could not be read is null, and `problems` says why.
    func overview() async throws -> String {
        if let latest, ContinuousClock.now - latest.at < freshness { return latest.text }
        if let underWay { return try await underWay.value }
        let task = Task { try await read() }
        underWay = task
        defer { underWay = nil }
        let text = try await task.value
        latest = (text, .now)
        return text
    }

    /// Has the database asked again at the next look: something has changed.
    func forget() { latest = nil }

    private nonisolated func read() async throws -> String {
        try await client.withConnection { connection in
            var fields = ["\"at\":\(Date.now.timeIntervalSince1970)"], problems: [String] = []
            for panel in Panel.overview {
                do {
                    let rows = try await connection.query(panel.sql, [], prepared: true)
                    fields.append("\(panel.name.jsonText):\(try rows.onlyRow().get(0, as: String.self))")
                } catch let error as PostgresError where !error.isConnectionLoss {
                    logger.warning(
                        "A panel could not be read.", metadata: ["panel": "\(panel.name)", "error": "\(error)"])
                    fields.append("\(panel.name.jsonText):null")
                    problems.append("\(panel.name): \(error)".jsonText)
                }
            }
            return "{\(fields.joined(separator: ",")),\"problems\":[\(problems.joined(separator: ","))]}"
        }
    }

    /// A job and its course as JSON; nil if there is no such job.
    nonisolated func job(_ id: Int64) async throws -> String? {
        let rows = try await client.idempotentQuery(Panel.job.sql, [id], prepared: true)
        guard let job = try rows.onlyRowIfAny()?.get(0, as: String.self) else { return nil }
        let timeline = try await client.idempotentQuery(Panel.timeline.sql, [id], prepared: true)
        return "{\"job\":\(job),\"timeline\":\(try timeline.onlyRow().get(0, as: String.self))}"
    }

    nonisolated func close() async { await client.close() }
}
