// SPDX-License-Identifier: Apache-2.0

import Database
import Foundation
import Kernels
import PostgreSQL

/// Looks at everything the program needs and says what it found and what to do.
public struct Doctor: Sendable {
    /// One thing that was looked at.
    public struct Finding: Sendable, Encodable {
        /// How it stands.
        public enum Status: String, Sendable, Encodable {
            case good
            case warning
            case bad
        }

        /// What was looked at.
        public let subject: String
        /// How it stands.
        public let status: Status
        /// What was found.
        public let found: String
        /// What to do about it.
        public let advice: String?

        init(_ subject: String, _ status: Status, _ found: String, advice: String? = nil) {
            self.subject = subject
            self.status = status
            self.found = found
            self.advice = advice
        }
    }

    let settings: Settings

    /// Examines what these settings need.
    public init(settings: Settings) {
        self.settings = settings
    }

    /// Looks at everything, in the order in which a newcomer would set it up.
    public func examine() async -> [Finding] {
        [settingsInForce, processor, blas, memory, installation, model, cache, await database(), await schema()]
    }

    private var settingsInForce: Finding {
        let worker = settings.worker
        let engine = settings.engine
        let monitoring = settings.monitoring
        return Finding(
            "settings", .good,
            """
            file \(settings.file ?? "none"), model \(settings.model), weights \(settings.weights), threads \(settings.threads), \
            generation_config \(settings.takesAdvice ? "auto" : "none"), \
            kv.memory \(formatByteCount(engine.kvBytes)), kv.type \(engine.kvDataType), \
            kv.policy \(settings.kvPolicy), engine.max_sequences \(engine.maxSequences), engine.rows_per_step \(engine.rowsPerStep), \
            worker.max_jobs \(worker.maxJobs), worker.lease \(worker.lease), worker.poll \(worker.poll), \
            worker.grace \(worker.grace), \
            worker.retention \(worker.retention.map { "\($0)" } ?? "for ever"), cache.directory \(settings.cache.directory), \
            cache.budget \(formatByteCount(settings.cache.budget)), cache.ttl \(settings.cache.life ?? .zero), \
            cache.free_floor \(formatByteCount(settings.cache.freeFloor)), \
            metrics.listen \(monitoring.metrics?.description ?? "off"), \
            dashboard.listen \(monitoring.dashboard?.description ?? "off"), \
            dashboard.token \(monitoring.dashboardToken == nil ? "none" : "set"), log.format \(monitoring.logFormat)
            """)
    }

    private var processor: Finding {
        do {
            let inForce = try InstructionSet.fromEnvironment()
            let budget = CPUBudget.current()
            let text = "\(budget.threads) threads of \(budget.cores) cores, kernels for \(inForce.rawValue)"
            guard inForce == .best else {
                return Finding(
                    "processor", .warning, text + ", though this processor has \(InstructionSet.best.rawValue)",
                    advice: "unset DELTAKV_ISA unless you measure")
            }
            return Finding("processor", .good, text)
        } catch {
            return Finding("processor", .bad, "\(error)", advice: "unset DELTAKV_ISA or correct it")
        }
    }

    private var blas: Finding {
        do {
            let library = try OpenBLAS()
            return Finding("OpenBLAS", .good, "core \(library.core), product checked (\(library.configuration))")
        } catch {
            return Finding("OpenBLAS", .bad, "\(error)", advice: "install libopenblas0-pthread")
        }
    }

    private var memory: Finding {
        let machine = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        let cache = settings.engine.kvBytes
        let text = "\(formatByteCount(machine)) in the machine, up to \(formatByteCount(cache)) for keys and values"
        guard cache < machine / 4 * 3 else {
            return Finding("memory", .warning, text, advice: "lower kv.memory: the weights need room too")
        }
        return Finding("memory", .good, text)
    }

    private var installation: Finding {
        do {
            let installation = try Installation()
            let templates = try TemplateLibrary(directory: installation.jobs)
            return Finding(
                "program files", .good,
                "\(installation.directory), templates: \(templates.names.joined(separator: ", "))")
        } catch {
            return Finding("program files", .bad, "\(error)", advice: "set DELTAKV_SHARE, or correct the template")
        }
    }

    private var model: Finding {
        do {
            let description = try ModelDescription(path: ModelStore().path(of: settings.model))
            let text = "\(description.name), \(formatByteCount(description.bytes)), \(description.path)"
            let problems = description.unsupported + [description.chatProblem].compactMap(\.self)
            if !problems.isEmpty {
                let reason = problems.joined(separator: "; ")
                return Finding("model", .bad, "\(text): \(reason)", advice: "choose another with --model")
            }
            return Finding("model", .good, text)
        } catch {
            return Finding("model", .bad, "\(error)", advice: "run 'deltakv model fetch', or name one with --model")
        }
    }
}

// The database's part.
extension Doctor {
    private func database() async -> Finding {
        do {
            let location = try DatabaseLocation.resolve()
            if case .privateCluster(let cluster) = location, cluster.status().processID == nil {
                return Finding(
                    "PostgreSQL", .bad, "the private server in \(cluster.dataDirectory) is down",
                    advice: "run 'deltakv db up', or set DATABASE_URL to use your own server")
            }
            let client = PostgresClient(location.settings, size: 1, patience: .zero)
            let row = try await client.query("SHOW server_version").onlyRow()
            let version = try row.get(0, as: String.self)
            await client.close()
            let kind = if case .external = location { "your own" } else { "private" }
            return Finding(
                "PostgreSQL", .good, "\(kind), version \(version) (\(location.settings))\(freeDisk(location))")
        } catch {
            return Finding("PostgreSQL", .bad, "\(error)", advice: "run 'deltakv db up', or correct DATABASE_URL")
        }
    }

    private func schema() async -> Finding {
        do {
            let location = try DatabaseLocation.resolve()
            if case .privateCluster(let cluster) = location, cluster.status().processID == nil {
                return Finding("schema", .warning, "not looked at: the server is down")
            }
            let migrations = try await Migrator(directory: Installation().migrations).status(location.settings)
            let pending = migrations.filter { $0.appliedAt == nil }.map(\.name)
            guard pending.isEmpty else {
                return Finding(
                    "schema", .bad, "to be applied: \(pending.joined(separator: ", "))",
                    advice: "run 'deltakv db migrate'")
            }
            return Finding("schema", .good, "up to date, \(migrations.count) migrations")
        } catch {
            return Finding("schema", .bad, "\(error)", advice: "run 'deltakv db migrate'")
        }
    }

    private func freeDisk(_ location: DatabaseLocation) -> String {
        guard case .privateCluster(let cluster) = location,
            let values = try? FileManager.default.attributesOfFileSystem(forPath: cluster.dataDirectory),
            let free = values[.systemFreeSize] as? Int
        else { return "" }
        return ", \(formatByteCount(free)) free on its disk"
    }
}
