// SPDX-License-Identifier: Apache-2.0

import Foundation
import PostgreSQL
import Service
import Testing

/// The database checks options when a job is submitted, the daemon when it runs: both must say the same.
@Suite struct OptionRuleTests {
    private static let options = [
        "{}", "[]", "null", "3", #"{"max_tokens": 1}"#, #"{"max_tokens": 0}"#, #"{"max_tokens": 1.5}"#,
        #"{"max_tokens": null}"#, #"{"max_tokens": "5"}"#, #"{"max_tokens": 3.0}"#, #"{"max_token": 5}"#,
        #"{"temperature": 0}"#, #"{"temperature": 100}"#, #"{"temperature": -0.1}"#, #"{"temperature": 100.5}"#,
        #"{"temperature": true}"#, #"{"top_k": 0}"#, #"{"top_k": -1}"#, #"{"top_p": 0}"#, #"{"top_p": 1}"#,
        #"{"top_p": 1.1}"#, #"{"min_p": 0}"#, #"{"min_p": 1.5}"#, #"{"repetition_penalty": 0}"#,
        #"{"repetition_penalty": 10}"#, #"{"presence_penalty": -2}"#, #"{"presence_penalty": -2.5}"#,
        #"{"frequency_penalty": 2.5}"#, #"{"logit_bias": {"17": -100}}"#, #"{"logit_bias": {"17": -101}}"#,
        #"{"logit_bias": {"the": 1}}"#, #"{"logit_bias": [1]}"#, #"{"logit_bias": {"17": "1"}}"#, #"{"seed": -5}"#,
        #"{"seed": 9223372036854775807}"#, #"{"seed": "a"}"#, #"{"stop": ["a", "b"]}"#, #"{"stop": [""]}"#,
        #"{"stop": "a"}"#, #"{"stop": [1]}"#, #"{"stop_token_ids": [1, 2]}"#, #"{"stop_token_ids": ["1"]}"#,
        #"{"stop_token_ids": [1.5]}"#, #"{"json_schema": {"type": "object"}}"#,
        #"{"json_schema": "{\"type\": \"string\"}"}"#, #"{"chat_template_kwargs": {"a": true}}"#,
        #"{"tools": [{"type": "function", "function": {"name": "f"}}]}"#,
    ]

    @Test func databaseAndDaemonAgree() async throws {
        try await withQueue { _, client in
            for text in Self.options {
                let fault = try await client.query(
                    "SELECT deltakv.option_fault($1::text::jsonb) AS fault", [text]
                ).onlyRow().get("fault", as: String?.self)
                #expect((fault == nil) == Self.daemonAccepts(text), "\(text): \(fault ?? "nothing wrong")")
            }
            let names = try await client.query("SELECT name FROM deltakv.option_rules ORDER BY name")
                .map { try $0.get(0, as: String.self) }
            #expect(names == JobOptions.names.sorted())
        }
    }

    private static func daemonAccepts(_ text: String) -> Bool {
        do {
            try JSONDecoder().decode(JobOptions.self, from: Data(text.utf8)).validate()
            return true
        } catch {
            return false
        }
    }
}
