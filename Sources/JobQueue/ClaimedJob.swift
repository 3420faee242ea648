// SPDX-License-Identifier: Apache-2.0
import Foundation
import PostgreSQL

/// A job that this worker is to run.
public struct ClaimedJob: Sendable {
    /// What every later write about the job must show.
    public let lease: Lease
    /// Which attempt this is, from 1.
    public let attempt: Int
    /// How many attempts the job has.
    public let maxAttempts: Int
    /// When the attempt must have ended; nil for never.
    public let attemptDeadline: Date?
    /// Who submitted the job.
    public let tenant: String
    /// The batch it belongs to.
    public let batch: String
    /// The submitter's name for it.
    public let customID: String?
    /// Name of the template.
    public let template: String
    /// The document, as submitted: untrusted, and nil or empty where the submitter had none.
    public let document: String?
    /// JSON text of the options, as submitted: untrusted, and not necessarily an object.
    public let options: String
    /// JSON text of the template's variables, as submitted: untrusted, and not necessarily an object.
    public let variables: String
    /// When it was submitted.
    public let submittedAt: Date
    /// The YAML of the template's version that the job is for; nil where the database has none, and the daemon's own counts.
    public let templateSource: String?
    /// JSON text of the messages to be continued in place of a template, as submitted: untrusted; nil for none.
    public let messages: String?
    /// Whether nothing may run beside it: its worker has died once.
    public let isAlone: Bool
    /// Jobs of a tenant with the same key have prompts that begin alike; nil where that beginning is short.
    public let prefixKey: Int64?
    /// How far an earlier attempt's output had come; nil where none has said so.
    public let checkpoint: SavedOutput?

    /// Bytes of document, messages and variables.
    public var inputBytes: Int { (document?.utf8.count ?? 0) + (messages?.utf8.count ?? 0) + variables.utf8.count }

    init(row: PostgresRow) throws {
        lease = Lease(jobID: try row.get("job_id"), token: try row.get("token"))
        attempt = try row.get("attempt")
        maxAttempts = try row.get("max_attempts")
        attemptDeadline = try row.get("attempt_deadline")
        tenant = try row.get("tenant")
        batch = try row.get("batch")
        customID = try row.get("custom_id")
        template = try row.get("template")
        document = try row.get("document")
        options = try row.get("options")
        variables = try row.get("variables")
        submittedAt = try row.get("submitted_at")
        templateSource = try row.get("template_source")
        messages = try row.get("messages")
        isAlone = try row.get("alone")
        prefixKey = try row.get("prefix_key")
        checkpoint = try row.get("checkpoint_fingerprint", as: String?.self).map {
            SavedOutput(
                fingerprint: $0,
                output: try row.get("checkpoint_output", as: [Int].self).map { Int32(truncatingIfNeeded: $0) })
        }
    }
}
