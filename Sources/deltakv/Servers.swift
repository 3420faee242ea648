// SPDX-License-Identifier: Apache-2.0

import Database
import Logging
import Monitoring
import Service
import Web

extension MonitoringSettings {
    /// The servers that a daemon is to run beside its work.
    func servers(telemetry: Telemetry, database: DatabaseLocation, logger: Logger) throws -> [WebServer] {
        var servers: [WebServer] = []
        if let metrics {
            let pages = MonitoringPages(registry: telemetry.registry, health: telemetry.health)
            servers.append(WebServer(pages, on: metrics, logger: logger))
        }
        if let dashboard {
            let pages = try DashboardPages(
                database: database.settings, address: dashboard, token: dashboardToken, logger: logger)
            servers.append(WebServer(pages, on: dashboard, logger: logger))
        }
        return servers
    }
}

extension LogFormat {
    /// The logger of a long-running command: to standard error.
    func logger() -> Logger {
        switch self {
        case .text: Logger(label: "deltakv") { StreamLogHandler.standardError(label: $0) }
        case .json: Logger(label: "deltakv") { JSONLogHandler(label: $0) }
        }
    }
}
