// SPDX-License-Identifier: Apache-2.0

import Foundation
import PostgreSQL
import Testing

/// `deltakv batch` as a process, with the real model in between.
@Suite(.serialized) struct BatchCommandTests {
    private struct Line: Decodable {
        struct Response: Decodable {
            struct Body: Decodable {
                struct Choice: Decodable {
                    struct Message: Decodable { let content: String }
                    let message: Message
                }
                struct Usage: Decodable {
                    let completionTokens: Int
                }
                let choices: [Choice]
                let usage: Usage
            }
            let body: Body
        }
        struct Failure: Decodable { let code: String }
        let customId: String
        let response: Response?
        let error: Failure?
    }

    private func request(_ id: String, _ body: String) -> String {
        #"{"custom_id": "\#(id)", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "any", "messages": "#
            + #"[{"role": "user", "content": "Name a colour."}], "max_tokens": 6\#(body)}}"#
    }

    private func lines(_ path: String) throws -> [Line] {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map {
            try decoder.decode(Line.self, from: Data($0.utf8))
        }
    }

    @Test func aFileGoesInAndItsResultsComeOut() async throws {
        try await withQueue { program, client in
            let folder = NSTemporaryDirectory() + "deltakv-batch-\(UUID().uuidString)"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let file = "\(folder)/in.jsonl"
            let requests = [
                request("plain", ""), request("two", #", "n": 2, "temperature": 1, "seed": 5"#), "not JSON",
                request("scores", #", "logprobs": true, "top_logprobs": 2"#), request("range", #", "top_p": 7"#),
            ]
            try Data(requests.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: file))
            let imported = try await program.run("batch", "import", file, "--batch", "b")
            #expect(imported.status == 1)
            #expect(imported.errors.contains("in.jsonl:3: invalid_json_line"))
            #expect(
                imported.output.contains("Submitted 4 of 5 requests, of which 1 failed at once; 1 lines are wrong."))
            let early = try await program.run("batch", "export", "b", "--output", "\(folder)/out")
            #expect(early.status == 1 && early.errors.contains("--wait"))

            let daemon = try program.start(["daemon", "--drain"])
            let exported = try await program.run(
                "batch", "export", "b", "--output", "\(folder)/out", "--wait", "--json")
            #expect(await daemon.outcome().status == 0)
            #expect(exported.status == 0, "\(exported.errors)")
            #expect(exported.output.contains(#""status":"completed""#))
            #expect(exported.output.contains(#""request_counts":{"completed":3,"failed":1,"total":4}"#))
            let outputs = try lines("\(folder)/out")
            #expect(outputs.map(\.customId) == ["plain", "two", "scores"])
            #expect(outputs.map { $0.response?.body.choices.count } == [1, 2, 1])
            #expect(outputs.allSatisfy { ($0.response?.body.usage.completionTokens ?? 0) > 0 })
            #expect(outputs.allSatisfy { $0.response?.body.choices[0].message.content.isEmpty == false })
            let errors = try lines("\(folder)/out.errors")
            #expect(errors.map(\.customId) == ["range"] && errors[0].error?.code == "invalid_options")
            let status = try await program.run("batch", "status", "nothing")
            #expect(status.status == 1 && status.errors.contains("there is no batch 'nothing'"))
        }
    }
}
