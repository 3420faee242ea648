// SPDX-License-Identifier: Apache-2.0

import Database
import Foundation
import PostgreSQL
import Service
import TestSupport
import Testing

/// What jobs may ask of their outputs, from SQL to SQL, and the same of `deltakv generate`.
@Suite(.serialized) struct OutputOptionTests {
    @Test func jobsWithSchemasSamplesAndLogprobsHaveThemInTheirResults() async throws {
        try await withQueue { program, client in
            let options = [
                #"{"max_tokens": 40, "json_schema": {"type": "object", "properties": {"topic": {"type": "string", "maxLength": 20}, "words": {"type": "integer", "minimum": 1}}, "required": ["topic", "words"]}}"#,
                #"{"max_tokens": 6, "n": 3, "logprobs": 2, "temperature": 1, "seed": 4}"#,
                #"{"max_tokens": 6, "temperature": 1, "seed": 5}"#,
                #"{"json_schema": {"type": "array", "uniqueItems": true}}"#, #"{"n": 1000}"#,
                #"{"logit_bias": {"60000": 1}}"#,
            ]
            for (index, options) in options.enumerated() {
                try await client.query(
                    """
                    SELECT deltakv.submit('summarize', document => 'The river carries sand to the sea.',
                        custom_id => $1, batch => 'options', options => $2::text::jsonb)
                    """, [String(index), options])
            }
            let daemon = try await program.run("daemon", "--drain")
            #expect(daemon.status == 0, "\(daemon.errors)")
            let rows = try await client.query(
                "SELECT output, error FROM deltakv.results WHERE batch = 'options' ORDER BY custom_id")
            let output: String = try rows[0].get("output")
            let object = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
            #expect(object?["topic"] is String && object?["words"] is Int && object?.count == 2)
            let choices = try await client.query(
                """
                SELECT index, output, finish_reason, jsonb_array_length(logprobs) AS places,
                    jsonb_array_length(logprobs -> 0 -> 'top') AS top FROM deltakv.choices WHERE batch = 'options' ORDER BY index
                """)
            #expect(choices.count == 3)
            let texts: [String] = try choices.map { try $0.get("output") }
            #expect(try texts[0] == rows[1].get("output"))
            // Sample 1 of seed 4 is the single sample of seed 5.
            #expect(try texts[1] == rows[2].get("output"))
            for row in choices {
                #expect(try row.get("top") == 2)
                #expect(try row.get("places") > 0)
            }
            for (index, words) in [(3, "uniqueItems"), (4, "'n' must be"), (5, "60000")] {
                let error: String = try rows[index].get("error")
                #expect(error.hasPrefix("invalid_options") && error.contains(words), "\(error)")
            }
        }
    }

    @Test func generatePrintsJSONByASchemaAndListsOfOutputs() async throws {
        let program = Program(environment: [:])
        let schema = #"{"enum": ["yes", "no"]}"#
        let constrained = try await program.run("generate", "--greedy", "--json-schema", schema, "Is water wet?")
        #expect(constrained.status == 0, "\(constrained.errors)")
        #expect([#""yes""#, #""no""#].contains(constrained.output.trimmingCharacters(in: .whitespacesAndNewlines)))
        let list = try await program.run(
            "generate", "-n", "2", "--logprobs", "1", "--max-tokens", "4", "--min-p", "0.05", "--repetition-penalty",
            "1.1", "Hello")
        let choices = try JSONSerialization.jsonObject(with: Data(list.output.utf8)) as? [[String: Any]]
        #expect(choices?.count == 2)
        #expect(choices?.allSatisfy { $0["text"] is String && ($0["logprobs"] as? [Any])?.isEmpty == false } == true)
        let wrong = try await program.run("generate", "--json-schema", "{", "x")
        #expect(wrong.status != 0 && wrong.errors.contains("json_schema"))
    }
}
