// SPDX-License-Identifier: Apache-2.0

import Database
import Foundation
import PostgreSQL
import Service
import TestSupport
import Testing

/// A Hugging Face folder from the command line and through the queue, against transformers: Golden/make_folder.py made both.
@Suite(.serialized) struct FolderTests {
    private struct Expected: Decodable {
        let prompt: String
        let raw: Bool
        /// Whether the makers' repetition penalty is in force.
        let advised: Bool
        let maxTokens: Int
        let promptTokens: Int
        let finishReason: String
        let text: String
    }

    private static let golden = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Golden")
    private static let folder = golden.appendingPathComponent("tiny-qwen2").path
    /// What makes the arithmetic that of transformers.
    private static let exact = ["DELTAKV_WEIGHTS": "float32", "DELTAKV_KV_TYPE": "f32", "DELTAKV_KV_MEMORY": "64MiB"]

    private func expected() throws -> [Expected] {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(
            [Expected].self, from: Data(contentsOf: Self.golden.appendingPathComponent("generated.json")))
    }

    /// A copy of the folder with another generation configuration.
    private func withAdvice(_ json: String, _ body: (String) async throws -> Void) async throws {
        let copy = FileManager.default.temporaryDirectory.appendingPathComponent("deltakv-\(UUID().uuidString)").path
        try FileManager.default.copyItem(atPath: Self.folder, toPath: copy)
        defer { try? FileManager.default.removeItem(atPath: copy) }
        try Data(json.utf8).write(to: URL(fileURLWithPath: copy + "/generation_config.json"))
        try await body(copy)
    }

    @Test func generateGivesWhatTransformersGives() async throws {
        let program = Program(environment: Self.exact.merging(["DELTAKV_MODEL": Self.folder]) { $1 })
        let expected = try expected()
        #expect(expected.count > 20)
        for entry in expected {
            let arguments =
                ["generate", "--greedy", "--max-tokens", String(entry.maxTokens)] + (entry.raw ? ["--raw"] : [])
                + (entry.advised ? [] : ["--generation-config", "none"]) + ["--", entry.prompt]
            let outcome = try await program.start(arguments).outcome()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output == entry.text + "\n", "\(entry.prompt)")
        }
    }

    @Test func jobsGiveWhatTransformersGives() async throws {
        try await withQueue { program, client in
            let expected = try expected().enumerated().filter { !$1.raw }
            for advised in [true, false] {
                for (index, entry) in expected where entry.advised == advised {
                    try await client.query(
                        """
                        SELECT deltakv.generate($1, custom_id => $2, batch => 'folder',
                            options => jsonb_build_object('max_tokens', $3::int, 'temperature', 0))
                        """, [entry.prompt, String(index), entry.maxTokens])
                }
                var environment = program.environment.merging(Self.exact) { $1 }
                environment["DELTAKV_MODEL"] = Self.folder
                environment["DELTAKV_GENERATION_CONFIG"] = advised ? "auto" : "none"
                let daemon = try await Program(environment: environment).run("daemon", "--drain")
                #expect(daemon.status == 0, "\(daemon.errors)")
            }
            for (index, entry) in expected {
                let row = try await client.query(
                    "SELECT output, finish_reason, prompt_tokens FROM deltakv.results WHERE custom_id = $1",
                    [String(index)]
                ).onlyRow()
                #expect(try row.get("output") == entry.text, "\(entry.prompt)")
                #expect(try row.get("finish_reason") == entry.finishReason)
                #expect(try row.get("prompt_tokens") == entry.promptTokens)
            }
        }
    }

    /// A job that says nothing is drawn as the makers advise, and the same row gives the same text.
    @Test func advisedDrawsAreReproducible() async throws {
        let program = Program(environment: Self.exact.merging(["DELTAKV_MODEL": Self.folder]) { $1 })
        func text(_ arguments: String...) async throws -> String {
            let outcome = try await program.start(["generate", "--max-tokens", "20"] + arguments + ["Hello"]).outcome()
            #expect(outcome.status == 0, "\(outcome.errors)")
            return outcome.output
        }
        let advised = try await text("--seed", "3")
        let spelled = try await text(
            "--seed", "3", "--generation-config", "none", "--temperature", "0.6", "--top-k", "20", "--top-p", "0.9",
            "--repetition-penalty", "1.3")
        #expect(advised == spelled)
        #expect(try await text("--seed", "3", "--temperature", "0") == text("--greedy", "--seed", "4"))
        #expect(try await text("--seed", "3", "--repetition-penalty", "1", "--temperature", "1.5") != advised)
    }

    @Test func aFolderIsDescribedAndVerified() async throws {
        let program = Program()
        let info = try await program.run("model", "info", Self.folder)
        #expect(info.status == 0)
        for part in ["tiny-qwen2", "folder", "qwen2, 2 layers, 4 query heads, 2 KV heads of 16", "can be run    yes"] {
            #expect(info.output.contains(part), "\(info.output)")
        }
        #expect(info.output.contains("its makers advise repetition_penalty 1.3, temperature 0.6"))
        let json = try await program.run("model", "info", "--json", Self.folder)
        let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
        #expect(object?["format"] as? String == "huggingface" && (object?["unsupported"] as? [Any])?.isEmpty == true)
        let verified = try await program.run("model", "verify", Self.folder)
        #expect(verified.status == 0 && verified.output.contains("SHA-256"))
    }

    /// A model that was not made for conversations takes prompts as they are, and says so.
    @Test func aFolderWithoutAChatTemplateTakesRawPrompts() async throws {
        try await withAdvice("{}") { folder in
            try FileManager.default.removeItem(atPath: folder + "/chat_template.jinja")
            let entry = try #require(try expected().first { $0.raw && !$0.advised })
            let program = Program(environment: Self.exact.merging(["DELTAKV_MODEL": folder]) { $1 })
            let raw = try await program.run(
                "generate", "--raw", "--greedy", "--max-tokens", String(entry.maxTokens), entry.prompt)
            #expect(raw.output == entry.text + "\n", "\(raw.errors)")
            let chat = try await program.run("generate", "Hi")
            #expect(chat.status == 1 && chat.errors.contains("generate --raw"), "\(chat.errors)")
            let info = try await program.run("model", "info", folder)
            #expect(info.output.contains("can be run    yes") && info.output.contains("conversations no:"))
        }
    }

    @Test func adviceThatCannotBeFollowedEndsTheProgramAndSaysSo() async throws {
        try await withAdvice(#"{"temperature": -2}"#) { folder in
            let outcome = try await Program().run("generate", "--model", folder, "--max-tokens", "2", "Hi")
            #expect(outcome.status == 1 && outcome.errors.contains("generation_config"), "\(outcome.errors)")
            let without = try await Program().run(
                "generate", "--model", folder, "--generation-config", "none", "--max-tokens", "2", "Hi")
            #expect(without.status == 0, "\(without.errors)")
        }
    }
}
