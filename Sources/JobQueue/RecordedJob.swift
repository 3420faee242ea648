// SPDX-License-Identifier: Apache-2.0
import Foundation
import PostgreSQL

/// What a job was given, as a worker gets it, and what came of it.
public struct RecordedJob: Sendable {
    /// The job.
    public let id: Int64
    /// Who submitted it.
    public let tenant: String
    /// Where it stands.
    public let state: JobState
    /// Name of the template.
    public let template: String
    /// The YAML of the template's version that the job is for; nil where the database has none.
    public let templateSource: String?
    /// The document: untrusted.
    public let document: String?
    /// JSON text of the options, as submitted: untrusted.
    public let options: String
    /// JSON text of the template's variables, as submitted: untrusted.
    public let variables: String
    /// JSON text of the messages in place of a template, as submitted: untrusted; nil for none.
    public let messages: String?
    /// When it was submitted.
    public let submittedAt: Date
    /// The texts generated, one for each output; a text is nil where there is none.
    public let outputs: [String?]
    /// Why the first output ended.
    public let finishReason: String?

    /// The first byte in which a text differs from a recorded one; nil where they are the same. PostgreSQL has no NUL in text:
    /// U+FFFD is stored in its place.
    public func difference(from text: String, output: Int) -> Int? {
        let own = Array(text.storable.utf8), recorded = Array((outputs[output] ?? "").utf8)
        return own == recorded ? nil : zip(own, recorded).prefix { $0 == $1 }.count
    }
}

extension JobQueue {
    /// A job as it was given to its worker; nil where there is no such job, or none that this login may see.
    public func recordedJob(_ id: Int64) async throws -> RecordedJob? {
        let found = try await client.idempotentQuery(
            "SELECT r.*, r.template_body ->> 'yaml' AS template_source FROM deltakv.recorded_job($1) r", [id])
        return try found.onlyRowIfAny().map { row in
            RecordedJob(
                id: id, tenant: try row.get("tenant"), state: try row.requiredWord("state"),
                template: try row.get("template"), templateSource: try row.get("template_source"),
                document: try row.get("document"), options: try row.get("options"), variables: try row.get("variables"),
                messages: try row.get("messages"), submittedAt: try row.get("submitted_at"),
                outputs: try row.get("outputs"), finishReason: try row.get("finish_reason"))
        }
    }
}
