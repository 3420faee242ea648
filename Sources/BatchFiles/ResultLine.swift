// SPDX-License-Identifier: Apache-2.0

import Foundation
import JobQueue
import ModelFiles

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
            error = JSONValue(["code": .string(code), "message": .string(message)])
            return
        }
        error = nil
        let usage = JSONValue([
            "prompt_tokens": .integer(result.promptTokens),
            "completion_tokens": .integer(result.outputTokens),
            "total_tokens": .integer(result.promptTokens + result.outputTokens),
            "prompt_tokens_details": JSONValue(["cached_tokens": .integer(result.cachedTokens)]),
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
        let given = try JSONDecoder().decode([JSONValue].self, from: Data(json.utf8))
        return given.enumerated().map { place, choice in
            Self.choice(
                index: place, text: choice["text"]?.text ?? "", reason: choice["finish_reason"]?.text ?? "stop",
                logprobs: choice["logprobs"]?.elements.map { JSONValue(["content": .array($0.map(token))]) } ?? .null)
        }
    }

    private static func choice(index: Int, text: String, reason: String, logprobs: JSONValue) -> JSONValue {
        JSONValue([
            "index": .integer(index), "finish_reason": .string(reason), "logprobs": logprobs,
            "message": JSONValue(["role": .string("assistant"), "content": .string(text)]),
        ])
    }

    private static func token(_ value: JSONValue) -> JSONValue {
        var members: [String: JSONValue] = [:]
        members["token"] = value["token"]
        members["logprob"] = value["logprob"]
        members["bytes"] = value["token"]?.text.map { .array($0.utf8.map { .integer(Int($0)) }) }
        members["top_logprobs"] = value["top"]?.elements.map { .array($0.map(token)) }
        return JSONValue(members)
    }
}
