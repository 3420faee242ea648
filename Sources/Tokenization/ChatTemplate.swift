// SPDX-License-Identifier: Apache-2.0
import Foundation
import Jinja
import ModelFiles

/// How a model wants conversations written: the Jinja template in its file, rendered as transformers renders it.
public struct ChatTemplate: Sendable {
    private let path: String
    private let template: JinjaTemplate
    /// The template for conversations with tools, where it is another.
    private let toolTemplate: JinjaTemplate?
    private let takesTools: Bool
    /// The texts of special tokens by the names that templates know them under, such as `bos_token`.
    private let specialTokens: [String: String]

    /// Reads the template of a model in either form.
    ///
    /// - Throws: `TokenizerError.missingChatTemplate` or `.unsupportedChatTemplate`; `GGUFError` where a file is damaged.
    public init(_ model: ModelFile) throws {
        switch model {
        case .gguf(let file): try self.init(file: file)
        case .folder(let folder): try self.init(folder: folder)
        }
    }

    /// Reads the template of a GGUF file, `tokenizer.chat_template`.
    ///
    /// - Throws: `TokenizerError.missingChatTemplate` or `.unsupportedChatTemplate`; `GGUFError` where keys are no texts.
    public init(file: GGUFFile) throws {
        try self.init(
            path: file.path, source: file.metadata.stringIfPresent("tokenizer.chat_template"),
            toolSource: file.metadata.stringIfPresent("tokenizer.chat_template.tool_use"),
            specialTokens: try Self.specialTokens(of: file))
    }

    /// Reads the template of a Hugging Face folder, `chat_template.jinja` or that in `tokenizer_config.json`.
    ///
    /// - Throws: `TokenizerError.missingChatTemplate` or `.unsupportedChatTemplate`; `GGUFError` where a file is damaged.
    public init(folder: HuggingFaceFolder) throws {
        try self.init(
            path: folder.path, source: folder.chatTemplate(), toolSource: folder.chatTemplate(named: "tool_use"),
            specialTokens: try folder.specialTokens())
    }

    private init(path: String, source: String?, toolSource: String?, specialTokens: [String: String]) throws {
        guard let source else { throw TokenizerError.missingChatTemplate(path: path) }
        self.path = path
        self.specialTokens = specialTokens
        takesTools = (toolSource ?? source).contains("tools")
        do {
            template = try JinjaTemplate(source)
            toolTemplate = try toolSource.map { source throws(JinjaError) in try JinjaTemplate(source) }
        } catch {
            throw TokenizerError.unsupportedChatTemplate(path: path, reason: error.description)
        }
    }

    /// Writes a conversation as a prompt that the model is to continue as the assistant.
    ///
    /// Contents become text pieces only, so that nothing in them is taken for a control token.
    ///
    /// - Parameters:
    ///   - messages: The conversation.
    ///   - tools: What the model may call, objects as OpenAI's API has them.
    ///   - settings: Further variables of the template, such as `enable_thinking`.
    ///   - date: What a template that asks for the date is told, in UTC.
    /// - Throws: `TokenizerError.chatTemplateFailed` where the template refuses the conversation, knows no tools though there
    ///   are some, or reaches a limit.
    public func render(
        _ messages: [ChatMessage], tools: [JSONValue] = [], settings: [JSONValue.Member] = [], date: Date = Date()
    ) throws -> [PromptPiece] {
        guard tools.isEmpty || takesTools else {
            throw TokenizerError.chatTemplateFailed(path: path, reason: "the model's chat template knows no tools")
        }
        var variables = specialTokens.mapValues(JinjaInput.text)
        for setting in settings { variables[setting.key] = JinjaInput(input: setting.value) }
        variables["messages"] = .list(messages.map(\.jinja))
        variables["add_generation_prompt"] = .bool(true)
        variables["tools"] = tools.isEmpty ? JinjaInput.none : .list(tools.map(JinjaInput.init(input:)))
        variables["documents"] = JinjaInput.none
        let template = tools.isEmpty ? template : toolTemplate ?? template
        do {
            let seconds = Int(exactly: date.timeIntervalSince1970.rounded(.down)) ?? 0
            let pieces = try template.render(variables, date: JinjaDate(secondsSince1970: seconds))
            return pieces.map { $0.isInput ? .text($0.text) : .markup($0.text) }
        } catch {
            throw TokenizerError.chatTemplateFailed(path: path, reason: error.description)
        }
    }

    private static func specialTokens(of file: GGUFFile) throws -> [String: String] {
        let names = ["bos": "bos", "eos": "eos", "unknown": "unk", "seperator": "sep", "padding": "pad"]
        var ids: [String: Int] = [:]
        for (key, name) in names {
            ids["\(name)_token"] = try file.metadata.intIfPresent("tokenizer.ggml.\(key)_token_id")
        }
        if ids.isEmpty { return [:] }
        let tokens = try file.metadata.strings("tokenizer.ggml.tokens")
        return ids.compactMapValues { tokens.indices.contains($0) ? tokens[$0] : nil }
    }
}
