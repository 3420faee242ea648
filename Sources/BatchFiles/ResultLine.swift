// SPDX-License-Identifier: Apache-2.0

import Foundation
import JobQueue

/// A line of an output or error file: what became of one request, in the API's shape.
struct ResultLine: Encodable {
    private struct Response: Encodable {
        let statusCode = 200
        let requestID: String
        let body: Completion

        enum CodingKeys: String, CodingKey {
            case statusCode = "status_code"
            case requestID = "request_id"
            case body
        }
    }

    private struct Completion: Encodable {
        let id: String
        let object = "chat.completion"
        let created: Int
        let model: String
        let choices: [JSONValue]
        let usage: JSONValue
    }

    private let id: String
    private let customID: String?
    private let response: Response?
    private let error: JSONValue?

    /// Whether it belongs into the output file.
    var isOutput: Bool { response != nil }

    enum CodingKeys: String, CodingKey {
        case id, response, error
        case customID = "custom_id"
    }

    /// The line of a job that has ended.
    init(_ result: BatchResult) throws {
        id = "batch_req_\(result.jobID)"
        customID = result.customID
        guard let output = result.output else {
            response = nil
            let code = Self.codes[result.error?.code ?? ""] ?? result.error?.code ?? "batch_cancelled"
            let message = result.error?.message ?? "the request was cancelled before it was completed"
            error = .object(["code": .text(code), "message": .text(message)])
            return
        }
        error = nil
        let usage = JSONValue.object([
            "prompt_tokens": .integer(Int64(result.promptTokens)),
            "completion_tokens": .integer(Int64(result.outputTokens)),
            "total_tokens": .integer(Int64(result.promptTokens + result.outputTokens)),
            "prompt_tokens_details": .object(["cached_tokens": .integer(Int64(result.cachedTokens))]),
        ])
        response = Response(
            requestID: "req_\(result.jobID)",
            body: Completion(
                id: "chatcmpl-\(result.jobID)", created: Int(result.endedAt.timeIntervalSince1970),
                model: result.model ?? "", choices: try Self.choices(result, output: output), usage: usage))
    }

    /// Codes that the API has words of its own for.
    private static let codes = ["deadline_passed": "batch_expired"]

    /// With nulls where there is nothing, as the API has it.
    func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(id, forKey: .id)
        try values.encode(customID, forKey: .customID)
        try values.encode(response, forKey: .response)
        try values.encode(error, forKey: .error)
    }

    private static func choices(_ result: BatchResult, output: String) throws -> [JSONValue] {
        guard let json = result.choices else {
            return [choice(index: 0, text: output, reason: result.finishReason ?? "stop", logprobs: .null)]
        }
        let given = try JSONDecoder().decode([[String: JSONValue]].self, from: Data(json.utf8))
        return given.enumerated().map { place, choice in
            Self.choice(
                index: place, text: choice["text"]?.text ?? "", reason: choice["finish_reason"]?.text ?? "stop",
                logprobs: choice["logprobs"]?.elements.map { .object(["content": .array($0.map(token))]) } ?? .null)
        }
    }

    private static func choice(index: Int, text: String, reason: String, logprobs: JSONValue) -> JSONValue {
        .object([
            "index": .integer(Int64(index)), "finish_reason": .text(reason), "logprobs": logprobs,
            "message": .object(["role": .text("assistant"), "content": .text(text)]),
        ])
    }

    private static func token(_ value: JSONValue) -> JSONValue {
        var members = (value.members ?? [:]).filter { ["token", "logprob"].contains($0.key) }
        if let text = members["token"]?.text { members["bytes"] = .array(text.utf8.map { .integer(Int64($0)) }) }
        if let top = value.members?["top"]?.elements { members["top_logprobs"] = .array(top.map(token)) }
        return .object(members)
    }
}
