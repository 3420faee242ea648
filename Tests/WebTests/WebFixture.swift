// SPDX-License-Identifier: Apache-2.0

import Database
import Foundation
import JobQueue
import Monitoring
import PostgreSQL
import ServiceLifecycle
import TestSupport
import Testing

@testable import Web

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// A server on a port of its own, as long as `body` runs.
func withServer(_ pages: some WebPages, _ body: (Site) async throws -> Void) async throws {
    let (ports, port) = AsyncStream<Int>.makeStream()
    let server = WebServer(pages, on: ListenAddress(host: "127.0.0.1", port: 0), logger: quietLogger) { port.yield($0) }
    let group = ServiceGroup(services: [server], logger: quietLogger)
    let serving = Task { try await group.run() }
    var iterator = ports.makeAsyncIterator()
    let found = try #require(await iterator.next())
    do {
        try await body(Site(port: found))
    } catch {
        await group.triggerGracefulShutdown()
        throw error
    }
    await group.triggerGracefulShutdown()
    try await serving.value
}

/// The site under test, as a client sees it.
struct Site {
    let port: Int

    struct Answer {
        let status: Int
        let body: String
        let headers: [String: String]
        /// The body's JSON.
        func json() throws -> [String: Any] {
            try #require(try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any])
        }
    }

    func call(
        _ method: String = "GET", _ path: String, headers: [String: String] = [:], json: String? = nil
    ) async throws -> Answer {
        var request = URLRequest(url: try #require(URL(string: "http://127.0.0.1:\(port)\(path)")))
        request.httpMethod = method
        for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
        if let json {
            request.httpBody = Data(json.utf8)
            if headers["Content-Type"] == nil {
                request.setValue("application/json", forHTTPHeaderField: "Content-Type")
            }
        }
        let configuration = URLSessionConfiguration.ephemeral
        configuration.httpShouldSetCookies = false
        configuration.httpCookieAcceptPolicy = .never
        let session = URLSession(configuration: configuration)
        defer { session.finishTasksAndInvalidate() }
        let (data, response) = try await session.data(for: request)
        let http = try #require(response as? HTTPURLResponse)
        let fields = http.allHeaderFields.map { ("\($0.key)".lowercased(), "\($0.value)") }
        return Answer(
            status: http.statusCode, body: String(decoding: data, as: UTF8.self),
            headers: Dictionary(fields, uniquingKeysWith: { first, _ in first }))
    }
}

private let migrations = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Migrations")

/// A migrated database with a dashboard on it.
func withDashboard(
    token: String? = nil, _ body: (Site, PostgresClient, JobQueue) async throws -> Void
) async throws {
    try await withTestDatabase { settings in
        _ = try await Migrator(directory: migrations.path, logger: quietLogger).migrate(settings)
        let client = PostgresClient(settings, logger: quietLogger)
        let pages = try DashboardPages(
            database: settings, address: ListenAddress(host: "127.0.0.1", port: 0), token: token, logger: quietLogger)
        try await withServer(pages) { site in
            try await body(site, client, JobQueue(client: client, logger: quietLogger))
        }
        await client.close()
    }
}
