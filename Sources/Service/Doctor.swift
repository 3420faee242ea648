// SPDX-License-Identifier: Apache-2.0

import Database
import Foundation
import Kernels
import Logging
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
    }

    private let settings: Settings
    private let environment: [String: String]

    /// Examines these settings.
    public init(settings: Settings, environment: [String: String] = ProcessInfo.processInfo.environment) {
        self.settings = settings
        self.environment = environment
    }

    /// Looks at everything, in the order in which a newcomer would set it up.
    public func examine() async -> [Finding] {
        var findings = [settingsInForce, processor, blas]
        findings.append(installation)
        findings.append(model)
        findings.append(memory)
        findings.append(disk)
        findings += await database()
        return findings
    }

    private var settingsInForce: Finding {
        let worker = settings.worker
        let text = """
            file \(settings.file ?? "none"), model \(settings.model), kv.memory \(formatByteCount(settings.engine.kvBytes)), \
            kv.type \(settings.engine.kvDataType), engine.max_sequences \(settings.engine.maxSequences), \
            engine.rows_per_step \(settings.engine.rowsPerStep), worker.max_jobs \(worker.maxJobs), \
            worker.lease \(worker.lease), worker.poll \(worker.poll), worker.grace \(worker.grace)
            """
        return Finding(subject: "settings", status: .good, found: text, advice: nil)
    }
}
