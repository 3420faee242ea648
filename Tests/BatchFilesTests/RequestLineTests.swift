// SPDX-License-Identifier: Apache-2.0

import Foundation
import ModelFiles
import Testing

@testable import BatchFiles

@Suite struct RequestLineTests {
    private func line(
        _ body: String, head: String = #""custom_id": "a", "method": "POST", "url": "/v1/chat/completions""#
    )
        -> Data
    {
        Data("{\(head), \"body\": \(body)}".utf8)
    }

    private static let user = #""messages": [{"role": "user", "content": "hi"}]"#

    @Test func aRequestBecomesAJob() throws {
        let request = try RequestLine(
            line(
                """
                {"model": "gpt-4o", "messages": [{"role": "developer", "content": "be brief"},
                    {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]}],
                 "max_tokens": 9, "max_completion_tokens": 7, "temperature": 0.5, "stop": "END", "logprobs": true,
                 "top_logprobs": 3, "user": "ann", "stream": false, "top_p": null, "seed": 9007199254740993,
                 "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}}
                """))
        #expect(request.customID == "a")
        #expect(request.job["variables"] == JSONValue(["model": .string("gpt-4o")]))
        #expect(
            request.job["messages"]
                == .array([
                    JSONValue(["role": .string("system"), "content": .string("be brief")]),
                    JSONValue([
                        "role": .string("user"),
                        "content": .array([
                            JSONValue(["type": .string("text"), "text": .string("one ")]),
                            JSONValue(["type": .string("text"), "text": .string("two")]),
                        ]),
                    ]),
                ]))
        #expect(
            request.job["options"]
                == JSONValue([
                    "max_tokens": .integer(7), "temperature": .number(0.5), "stop": .array([.string("END")]),
                    "logprobs": .integer(3), "seed": .integer(9_007_199_254_740_993),
                    "json_schema": JSONValue(["type": .string("object")]),
                ]))
    }

    @Test(arguments: [
        ("{", "invalid_json_line", nil), ("[]", "invalid_json_line", nil), ("7", "invalid_json_line", nil),
        (#"{"custom_id": 1}"#, "missing_required_parameter", "custom_id"),
        (#"{"custom_id": "a", "method": "GET"}"#, "invalid_method", "method"),
        (#"{"custom_id": "a", "method": "POST", "url": "/v1/embeddings"}"#, "invalid_url", "url"),
        (#"{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}"#, "missing_required_parameter", "body"),
        (#"{"custom_id": "a\u0000", "method": "POST"}"#, "invalid_request", nil),
    ])
    func aBadLineIsNamed(text: String, code: String, param: String?) {
        let fault = #expect(throws: LineFault.self) { try RequestLine(Data(text.utf8)) }
        #expect(fault?.code == code)
        #expect(fault?.param == param)
    }

    @Test(arguments: [
        (#"{"messages": []}"#, "body.model"), (#"{"model": "m", "messages": []}"#, "body.messages"),
        (#"{"model": "m", "messages": [{"role": "robot", "content": "x"}]}"#, "body.messages[0].role"),
        (
            #"{"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}"#,
            "body.messages[0].content"
        ),
        (#"{"model": "m", \#(user), "stream": true}"#, "body.stream"),
        (#"{"model": "m", \#(user), "tool_choice": "required"}"#, "body.tool_choice"),
        (#"{"model": "m", \#(user), "temprature": 1}"#, "body.temprature"),
        (#"{"model": "m", \#(user), "response_format": {"type": "json_object"}}"#, "body.response_format"),
        (#"{"model": "m", \#(user), "response_format": {"type": "json_schema"}}"#, "body.response_format"),
    ])
    func aBadBodyIsNamed(body: String, param: String) {
        let fault = #expect(throws: LineFault.self, "\(body)") { try RequestLine(line(body)) }
        #expect(fault?.param == param)
    }
}
