// SPDX-License-Identifier: Apache-2.0

import Database
import Foundation
import PostgreSQL

extension Doctor {
    /// The server, and what is in it as far as it can be reached.
    func database() async -> [Finding] {
        let location: DatabaseLocation
        do {
            location = try DatabaseLocation.resolve()
        } catch {
            return [Finding("PostgreSQL", .bad, "\(error)", advice: "correct DATABASE_URL or the PG* variables")]
        }
        if case .privateCluster(let cluster) = location, cluster.status().processID == nil {
            return [
                Finding(
                    "PostgreSQL", .bad, "the private server in \(cluster.dataDirectory) is down",
                    advice: "run 'deltakv db up', or set DATABASE_URL to use your own server"),
                notLookedAt,
            ]
        }
        let client = PostgresClient(location.settings, size: 1, patience: .zero)
        var findings: [Finding] = []
        do {
            findings += try await server(client, location)
            let schema = await schema(location)
            findings.append(schema)
            if schema.status != .bad { findings.append(try await rights(client)) }
            if schema.status == .good { findings.append(try await queue(client)) }
        } catch {
            findings.append(
                Finding("PostgreSQL", .bad, "\(error)", advice: "run 'deltakv db up', or correct DATABASE_URL"))
            if findings.count == 1 { findings.append(notLookedAt) }
        }
        await client.close()
        return findings
    }

    private var notLookedAt: Finding {
        Finding(
            "schema", .warning, "neither schema, rights nor queue were looked at: the database does not answer",
            advice: "see to PostgreSQL first")
    }

    private func server(_ client: PostgresClient, _ location: DatabaseLocation) async throws -> [Finding] {
        let row = try await client.query(
            """
            SELECT current_setting('server_version') AS version, current_setting('server_version_num')::integer AS number,
                pg_is_in_recovery() AS is_standby,
                current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer AS most,
                (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
                extract(epoch FROM clock_timestamp())::double precision AS time
            """
        ).onlyRow()
        let here = Date().timeIntervalSince1970
        let kind = if case .external = location { "your own" } else { "private" }
        let text =
            "\(kind), version \(try row.get("version", as: String.self)) (\(location.settings))\(freeDisk(location))"
        var server = Finding("PostgreSQL", .good, text)
        if try row.get("number", as: Int.self) < 150_000 {
            server = Finding("PostgreSQL", .bad, text, advice: "upgrade it to 15 or later")
        } else if try row.get("is_standby", as: Bool.self) {
            server = Finding(
                "PostgreSQL", .bad, "\(text), a standby, which takes no writes",
                advice: "name all servers in DATABASE_URL and add target_session_attrs=read-write")
        }
        return [
            server, Self.connections(used: try row.get("used"), most: try row.get("most")),
            Self.clock(ahead: here - (try row.get("time", as: Double.self))),
        ]
    }

    static func connections(used: Int, most: Int) -> Finding {
        let text = "\(used) of \(most) in use; a daemon needs up to 5, and 4 more with the dashboard inside"
        guard most - used >= 9 else {
            return Finding(
                "connections", .warning, text, advice: "raise the server's max_connections, or close some that idle")
        }
        return Finding("connections", .good, text)
    }

    static func clock(ahead seconds: Double) -> Finding {
        let isAhead = seconds >= 0
        guard abs(seconds) >= 30 else {
            return Finding("clock", .good, "within \(Int(abs(seconds).rounded(.up))) s of the database's")
        }
        return Finding(
            "clock", .warning, "\(Int(abs(seconds))) s \(isAhead ? "ahead of" : "behind") the database's",
            advice: "set both by NTP: leases go by the database's, but cache.ttl and logs by this machine's")
    }

    private func schema(_ location: DatabaseLocation) async -> Finding {
        do {
            let migrations = try await Migrator(directory: Installation().migrations).status(location.settings)
            let pending = migrations.filter { $0.appliedAt == nil }.map(\.name)
            guard pending.isEmpty else {
                return Finding(
                    "schema", .bad, "to be applied: \(pending.joined(separator: ", "))",
                    advice: "run 'deltakv db migrate'")
            }
            return Finding("schema", .good, "up to date, \(migrations.count) migrations")
        } catch let error as PostgresError where error.sqlState == "42501" {
            return Finding("schema", .warning, "not shown to this login", advice: "see rights")
        } catch {
            return Finding("schema", .bad, "\(error)", advice: "run 'deltakv db migrate'")
        }
    }

    private func rights(_ client: PostgresClient) async throws -> Finding {
        let row = try await client.query(
            """
            SELECT current_user::text AS login, coalesce(array_agg(substr(r.rolname::text, 9) ORDER BY r.rolname), '{}') AS roles
            FROM pg_roles r
            WHERE r.rolname IN ('deltakv_submitter', 'deltakv_worker', 'deltakv_reader', 'deltakv_admin')
                AND pg_has_role(current_user, r.oid, 'USAGE')
            """
        ).onlyRow()
        let login = try row.get("login", as: String.self), roles = try row.get("roles", as: [String].self)
        let text = "\(login) is \(roles.isEmpty ? "not admitted" : roles.joined(separator: ", "))"
        guard roles.contains("worker") else {
            return Finding(
                "rights", roles.isEmpty ? .bad : .warning, text,
                advice: "a daemon needs more, as an administrator: SELECT deltakv.admit('\(login)', 'worker')")
        }
        return Finding("rights", .good, text)
    }

    private func queue(_ client: PostgresClient) async throws -> Finding {
        do {
            let row = try await client.query(
                "SELECT available::bigint, running::bigint, oldest_seconds FROM deltakv.dashboard_queue"
            ).onlyRow()
            return Self.queue(
                waiting: try row.get("available"), running: try row.get("running"),
                oldestSeconds: try row.get("oldest_seconds", as: Double?.self))
        } catch let error as PostgresError where error.sqlState == "42501" {
            return Finding("queue", .warning, "not shown to this login", advice: "see rights")
        }
    }

    static func queue(waiting: Int, running: Int, oldestSeconds: Double?) -> Finding {
        let age = oldestSeconds.map { ", the oldest for \(Int($0)) s" } ?? ""
        let text = "\(waiting) jobs wait\(age), \(running) run"
        guard waiting > 0, running == 0, (oldestSeconds ?? 0) > 60 else { return Finding("queue", .good, text) }
        return Finding(
            "queue", .warning, text,
            advice: "start a daemon; where one runs, a tenant's max_running may hold them back: deltakv dashboard")
    }

    private func freeDisk(_ location: DatabaseLocation) -> String {
        guard case .privateCluster(let cluster) = location,
            let values = try? FileManager.default.attributesOfFileSystem(forPath: cluster.dataDirectory),
            let free = values[.systemFreeSize] as? Int
        else { return "" }
        return ", \(formatByteCount(free)) free on its disk"
    }
}
