// SPDX-License-Identifier: Apache-2.0

import Compression
import Foundation
import Kernels
import Logging
import ModelFiles

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
        [settingsInForce, processor, blas, memory, installation, model, heads, compressor, cache] + addresses
            + (await database())
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
            kv.policy \(settings.kvPolicy), decode.share \(engine.sparse?.share ?? 1), \
            decode.local_heads \(settings.usesLocalHeads ? "auto" : "none"), engine.max_sequences \(engine.maxSequences), engine.rows_per_step \(engine.rowsPerStep), \
            engine.turn_tokens \(engine.turnTokens), worker.max_jobs \(worker.maxJobs), worker.overcommit \(worker.overcommit), worker.lease \(worker.lease), worker.poll \(worker.poll), \
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
        Self.memory(
            machine: Int(clamping: ProcessInfo.processInfo.physicalMemory), free: MachineFit.availableMemory(),
            limit: MemoryLimit.current(), keysAndValues: settings.engine.kvBytes)
    }

    static func memory(machine: Int, free: Int, limit: Int?, keysAndValues: Int) -> Finding {
        let limited = limit.map { ", of which this process may use \(formatByteCount($0))" } ?? ""
        let text = """
            \(formatByteCount(machine)) in the machine\(limited), \(formatByteCount(free)) free now, up to \
            \(formatByteCount(keysAndValues)) for keys and values
            """
        let most = min(machine, limit ?? machine)
        guard keysAndValues < most / 4 * 3 else {
            return Finding(
                "memory", keysAndValues < most ? .warning : .bad, text,
                advice: "lower kv.memory: weights need room too; 'deltakv doctor --plan' reckons")
        }
        guard keysAndValues < min(free, limit ?? free) else {
            return Finding(
                "memory", .warning, text,
                advice: "lower kv.memory, or end what takes the rest, unless that is the daemon")
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
}
