// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Database
import Foundation
import Logging
import Monitoring
import Service
import ServiceLifecycle
import Web

/// `deltakv daemon`: takes jobs from the queue and writes their results.
struct DaemonCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "daemon", abstract: "Take jobs from the queue and write their results.",
        discussion: """
            On SIGTERM or SIGINT it takes no more jobs, lets those under way finish for the grace time and hands the
            rest back to the queue.
            """)

    @OptionGroup var settings: SettingsOptions

    @OptionGroup var policy: PolicyOption

    @Flag(help: "Stop when nothing is left to do, now or later.")
    var drain = false

    @Option(help: ArgumentHelp("Jobs held at once.", valueName: "n"))
    var maxJobs: String?

    @Option(help: ArgumentHelp("How long a job stays ours without a heartbeat, such as 60s.", valueName: "time"))
    var lease: String?

    @Option(help: ArgumentHelp("How often to look when no notification comes.", valueName: "time"))
    var poll: String?

    @Option(help: ArgumentHelp("How long jobs may go on after SIGTERM.", valueName: "time"))
    var grace: String?

    @Option(
        help: ArgumentHelp("Serve metrics and health there, such as 127.0.0.1:9464.", valueName: "address"))
    var metricsListen: String?

    @Option(help: ArgumentHelp("Serve the dashboard there too, such as 127.0.0.1:9465.", valueName: "address"))
    var dashboardListen: String?

    @Option(help: ArgumentHelp("Log lines as text or json.", valueName: "format"))
    var logFormat: String?

    @Option(help: ArgumentHelp("Log level: debug, info, warning, error.", valueName: "level"))
    var logLevel: Logger.Level?

    func run() async throws {
        let settings = try await settings.load(more: [
            .workerMaxJobs: maxJobs, .workerLease: lease, .workerPoll: poll, .workerGrace: grace,
            .kvPolicy: policy.policy,
            .metricsListen: metricsListen, .dashboardListen: dashboardListen, .logFormat: logFormat,
        ])
        let showsProgress = drain && ProgressDisplay.isPossible
        var logger = settings.monitoring.logFormat.logger()
        // A log line in the middle of the progress line is for warnings only.
        logger.logLevel = logLevel ?? (showsProgress ? .warning : .info)
        // Before that line is drawn, calibration may take a minute and says so.
        var starting = logger
        starting.logLevel = logLevel ?? .info
        let database = try DatabaseLocation.resolve(), telemetry = Telemetry()
        let servers = try settings.monitoring.servers(telemetry: telemetry, database: database, logger: logger)
        let daemon = try await Daemon.start(
            settings: settings, database: database, installation: Installation(), mode: drain ? .drain : .serve,
            telemetry: telemetry, logger: logger, starting: starting)
        // Services stop in the opposite order: the last is the first to go, and health is served to the end.
        let group = ServiceGroup(
            configuration: .init(
                services: servers.map { .init(service: $0) } + [
                    .init(service: daemon, successTerminationBehavior: .gracefullyShutdownGroup)
                ],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        if showsProgress {
            try await withProgress(of: daemon) { try await group.run() }
        } else {
            try await group.run()
        }
    }

    private func withProgress(of daemon: Daemon, _ body: () async throws -> Void) async throws {
        let display = ProgressDisplay()
        let drawing = Task {
            while !Task.isCancelled {
                display.show(daemon.status)
                try? await Task.sleep(for: .milliseconds(500))
            }
        }
        do {
            try await body()
        } catch {
            drawing.cancel()
            await drawing.value
            throw error
        }
        drawing.cancel()
        await drawing.value
        display.finish(daemon.status)
    }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
