// SPDX-License-Identifier: Apache-2.0

import Foundation
import ModelFiles

/// A line of an input file, `{"custom_id", "method", "url", "body"}`, as the job that it becomes.
///
/// The format is that of OpenAI's batch API; `/v1/chat/completions` is the endpoint served. Whether values of options are
/// in their ranges is not looked at here: the queue says so on the job's own row.
struct RequestLine: Equatable {
    /// The endpoint that lines must name.
    static let endpoint = "/v1/chat/completions"
    /// Bytes that a custom_id may have.
    static let maxCustomIDBytes = 512

    /// The submitter's name for the request.
    let customID: String
    /// Members of an element of `deltakv.submit_many`.
    let job: JSONValue

    /// Reads a line.
    ///
    /// - Throws: ``LineFault`` that names the member that is wrong.
    init(_ line: Data) throws(LineFault) {
        let value: JSONValue
        do {
            value = try JSONDecoder().decode(JSONValue.self, from: line)
        } catch {
            throw LineFault("invalid_json_line", "the line is not valid JSON")
        }
        guard value.members != nil else { throw LineFault("invalid_json_line", "the line is not a JSON object") }
        guard !value.holdsNUL else {
            throw LineFault("invalid_request", "a text holds U+0000, which cannot be stored")
        }
        guard let name = value["custom_id"]?.text, !name.isEmpty, name.utf8.count <= Self.maxCustomIDBytes else {
            throw LineFault(
                "missing_required_parameter", "custom_id must be a text of 1 to \(Self.maxCustomIDBytes) bytes",
                param: "custom_id")
        }
        guard value["method"]?.text == "POST" else {
            throw LineFault("invalid_method", "method must be \"POST\"", param: "method")
        }
        guard value["url"]?.text == Self.endpoint else {
            throw LineFault("invalid_url", "url must be \"\(Self.endpoint)\"", param: "url")
        }
        guard let body = value["body"], body.members != nil else {
            throw LineFault("missing_required_parameter", "body must be an object", param: "body")
        }
        let model = try ChatBody.model(body["model"])
        customID = name
        job = JSONValue([
            "custom_id": .string(name), "template": .string("generate"),
            "messages": .array(try ChatBody.messages(body["messages"])),
            "options": JSONValue(try ChatBody.options(body)),
            "variables": JSONValue(["model": .string(model)]),
        ])
    }
}
