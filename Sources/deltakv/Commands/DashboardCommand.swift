// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Database
import Logging
import Monitoring
import Service
import ServiceLifecycle
import Web

/// `deltakv dashboard`: how the queue stands, in a browser.
struct DashboardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dashboard", abstract: "Show in a browser how the queue stands.",
        discussion: """
            It only shows, and to this machine only, unless DELTAKV_DASHBOARD_TOKEN is set: whoever signs in with that
            token may cancel, redrive, pause and resume, with the rights of the database login.
            """)

    @Option(help: ArgumentHelp("Settings file (YAML).", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("Where to listen.", valueName: "address"))
    var listen: String?

    @Option(help: ArgumentHelp("Log lines as text or json.", valueName: "format"))
    var logFormat: String?

    private static let standardAddress = ListenAddress(host: "127.0.0.1", port: 9465)

    func run() async throws {
        let flags: [Settings.Key: String?] = [.dashboardListen: listen, .logFormat: logFormat]
        let settings = try await Settings.load(flags: flags.compactMapValues { $0 }, file: config).monitoring
        let logger = settings.logFormat.logger()
        let address = settings.dashboard ?? Self.standardAddress
        let pages = try DashboardPages(
            database: DatabaseLocation.resolve().settings, address: address, token: settings.dashboardToken,
            logger: logger)
        let server = WebServer(pages, on: address, logger: logger) { port in
            printError("The dashboard is at http://\(ListenAddress(host: address.host, port: port))/")
        }
        try await ServiceGroup(
            configuration: .init(
                services: [.init(service: server)], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        ).run()
    }
}
