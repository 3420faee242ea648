// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import Testing
import Tokenization

@testable import Service

/// Conversations in the shape of OpenAI's API against transformers: Golden/make_tools.py.
@Suite struct ConversationTests {
    private struct Entry: Decodable {
        let template: String
        let messages: String
        let tools: String
        let settings: String
        let text: String?
    }

    private static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()

    /// The chat template of a folder that has hardly more than it.
    private static func template(_ files: [String: String]) throws -> ChatTemplate {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("deltakv-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let all = files.merging(
            ["config.json": "{}", "tokenizer_config.json": #"{"bos_token": "<s>", "eos_token": "</s>"}"#]) { own, _ in
                own
            }
        for (name, text) in all {
            let file = folder.appendingPathComponent(name)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        try Data([2, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8)).write(
            to: folder.appendingPathComponent("model.safetensors"))
        return try ChatTemplate(folder: HuggingFaceFolder(path: folder.path))
    }

    private func options(_ json: String) throws -> JobOptions {
        try JSONDecoder().decode(JobOptions.self, from: Data(json.utf8))
    }

    @Test func promptsAreThoseOfTransformers() throws {
        let file = Self.tests.appendingPathComponent("ServiceTests/Golden/tools.json")
        let entries = try JSONDecoder().decode([Entry].self, from: Data(contentsOf: file))
        #expect(entries.count == 120 && entries.count { $0.text == nil } == 2)
        // What `strftime_now` was told.
        let date = Date(timeIntervalSince1970: 1_700_000_000)
        let templates = try Dictionary(
            uniqueKeysWithValues: Set(entries.map(\.template)).map { name in
                let source = Self.tests.appendingPathComponent("JinjaTests/Golden/templates/\(name).jinja")
                return (name, try Self.template(["chat_template.jinja": String(contentsOf: source, encoding: .utf8)]))
            })
        for entry in entries {
            let template = try #require(templates[entry.template])
            var options = JobOptions()
            options.tools = try ToolList(json: entry.tools)
            options.templateSettings = try TemplateSettings(json: entry.settings)
            let messages = try ConversationReader.messages(json: entry.messages)
            guard let text = entry.text else {
                #expect(throws: TokenizerError.self) { try template.render(messages, options, date: date) }
                continue
            }
            let pieces = try template.render(messages, options, date: date)
            let found = pieces.map {
                if case .text(let text) = $0 { text } else if case .markup(let text) = $0 { text } else { "" }
            }
            #expect(found.joined() == text, "\(entry.template)")
            // Nothing that comes with the job can become a control token.
            for case .markup(let markup) in pieces where entry.messages.contains("{{ x }}") {
                #expect(!markup.contains("AVAILABLE_TOOLS]\"") && !markup.contains("\"<|im_"))
            }
        }
    }

    @Test func aListOfToolsHasOneOrderAndATextItsOwn() throws {
        let list = try options(
            #"""
            {"tools": [{"function": {"parameters": {"required": ["b"], "properties": {"b": {"enum": ["x"], "type": "string"}},
            "type": "object"}, "name": "f", "description": "d"}, "type": "function"}]}
            """#)
        let function = list.tools?.tools[0]["function"]
        #expect(list.tools?.tools[0].members?.map(\.key) == ["type", "function"])
        #expect(function?.members?.map(\.key) == ["name", "description", "parameters"])
        #expect(function?["parameters"]?.members?.map(\.key) == ["type", "properties", "required"])
        let text = try options(#"{"tools": "[{\"function\": {\"name\": \"f\"}, \"type\": \"function\"}]"}"#)
        #expect(text.tools?.tools[0].members?.map(\.key) == ["function", "type"])
    }

    @Test func toolsThatATemplateDoesNotKnowAreAnError() throws {
        var options = JobOptions()
        options.tools = try ToolList(json: #"[{"type": "function", "function": {"name": "f"}}]"#)
        let plain = try Self.template(["chat_template.jinja": "{{ messages[0].content }}"])
        let message = [ChatMessage(role: .user, content: "Hi")]
        #expect {
            try plain.render(message, options)
        } throws: {
            "\($0)".contains("knows no tools")
        }
        // A template of its own for tools is taken where there are some.
        let two = try Self.template([
            "chat_template.jinja": "{{ messages[0].content }}",
            "additional_chat_templates/tool_use.jinja": "{{ tools[0].function.name }}:{{ messages[0].content }}",
        ])
        #expect(try two.render(message, options).count == 3)
        #expect(try two.render(message, JobOptions()) == [.text("Hi")])
        let listed = try Self.template([
            "tokenizer_config.json":
                #"{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t{{ tools[0].type }}"}]}"#
        ])
        #expect(try listed.render(message, JobOptions()) == [.markup("d")])
        #expect(try listed.render(message, options) == [.markup("t"), .text("function")])
    }

    @Test(arguments: [
        (#"{"tools": {}}"#, "list"), (#"{"tools": [{"type": "web_search"}]}"#, "tool 0"),
        (#"{"tools": [{"type": "function", "function": {}}]}"#, "no name"), (#"{"tools": "[{"}"#, "tools"),
        (#"{"tools": [{"type": "function", "function": {"name": "f", "parameters": 3}}]}"#, "'f'"),
        (#"{"chat_template_kwargs": 4}"#, "object"), (#"{"chat_template_kwargs": {"messages": []}}"#, "messages"),
        (#"{"chat_template_kwargs": {"bos_token": "x"}}"#, "bos_token"), (#"{"tool_choice": "auto"}"#, "tool_choice"),
    ])
    func optionsThatAreNoToolsSayWhy(_ json: String, _ words: String) {
        #expect {
            try options(json)
        } throws: {
            ($0 as? JobFault)?.code == .invalidOptions && "\($0)".contains(words)
        }
    }

    @Test(arguments: [
        ("{}", "list"), ("[]", "list"), ("[", "list"),
        (#"[{"role": "robot", "content": "x"}]"#, "message 1 needs a role"),
        (#"[{"role": "user"}]"#, "message 1 needs a content"),
        (#"[{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]"#, "last message"),
        (#"[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]"#, "image_url"),
        (#"[{"role": "user", "content": "x", "tool_calls": [{}]}]"#, "the assistant's"),
        (#"[{"role": "assistant", "tool_calls": [{"function": {}}]}, {"role": "tool", "content": "x"}]"#, "message 1"),
        (
            #"[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}]"#,
            "the arguments of 'f'"
        ),
        (#"[{"role": "assistant", "content": "", "function_call": {"name": "f"}}]"#, "function_call"),
        (#"[{"role": "tool", "tool_call_id": 7, "content": "4"}]"#, "tool_call_id"),
    ])
    func messagesThatCannotBeReadSayWhichAndWhy(_ json: String, _ words: String) {
        #expect {
            try ConversationReader.messages(json: json)
        } throws: {
            ($0 as? JobFault)?.code == .invalidMessages && "\($0)".contains(words)
        }
    }
}
