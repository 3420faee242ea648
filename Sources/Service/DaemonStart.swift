// SPDX-License-Identifier: Apache-2.0

import Database
import Engine
import Foundation
import JobQueue
import Logging
import ModelFiles
import PostgreSQL

extension Daemon {
    /// Puts a daemon together: checks the database, reads the templates, loads the model and signs on.
    ///
    /// - Parameter starting: Told about the start, which may take a minute when a compressor has to be made, and seconds when the
    ///   model's heads have to be measured.
    /// - Throws: The first error met, which says what to do: the schema is behind, the model is not there, a template
    ///   is not sound.
    public static func start(
        settings: Settings, database: DatabaseLocation, installation: Installation, mode: Mode, telemetry: Telemetry,
        logger: Logger, starting: Logger
    ) async throws -> Daemon {
        let migrations = try await Migrator(directory: installation.migrations).status(database.settings)
        guard migrations.allSatisfy({ $0.appliedAt != nil }) else {
            throw SettingsError(description: "the database's schema is not up to date: run 'deltakv db migrate'")
        }
        let templates = try TemplateLibrary(directory: installation.jobs)
        let path = try ModelStore().path(of: settings.model)
        starting.info("Loading the model.", metadata: ["file": "\(path)"])
        let loaded = try LoadedModel(
            path: path, weights: settings.weights, threads: settings.threads,
            takesAdvice: settings.takesAdvice)
        let preparer = try loaded.preparer(templates)
        Thread.detachNewThread { preparer.warmUp() }
        let queue = JobQueue(client: PostgresClient(database.settings, logger: logger), logger: logger)
        let engine = try await loaded.engine(settings, path: path, installation: installation, logger: starting) {
            try await queue.firstDocuments()
        }
        // While it waits for its first job.
        Thread.detachNewThread { engine.prepareForLongPrompt() }
        let fingerprint =
            try engine.fingerprint
            ?? loaded.fingerprint(model: ModelFile(path: path).digest(), compressor: "none", settings: settings)
        for (name, yaml) in templates.sources { try await queue.syncTemplate(named: name, yaml: yaml) }
        let worker = try await queue.register(
            host: ProcessInfo.processInfo.hostName, processID: Int(ProcessInfo.processInfo.processIdentifier),
            version: Version.current)
        return Daemon(
            queue: queue, worker: worker, engine: engine, fingerprint: fingerprint,
            sparse: engine.sparse, preparer: preparer,
            kvTokens: settings.kvTokens(for: loaded.model.configuration) * settings.worker.overcommit,
            settings: settings.worker, mode: mode,
            telemetry: telemetry, logger: logger)
    }
}

/// The program's own version.
public enum Version {
    /// As it stands in `deltakv.workers` and `deltakv --version`.
    public static let current = "0.1.0"
}
