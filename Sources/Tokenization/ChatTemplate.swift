// SPDX-License-Identifier: Apache-2.0
import ModelFiles

/// How a model wants conversations written, from its file or folder.
///
/// Known is the ChatML template with a default system prompt; any other is an error when it is loaded.
public struct ChatTemplate: Sendable {
    private let defaultSystemPrompt: String

    /// Reads the template of a model.
    ///
    /// - Throws: `TokenizerError.missingChatTemplate` or `.unsupportedChatTemplate`; `GGUFError` where it is no text.
    public init(_ model: ModelFile) throws {
        guard let source = try model.chatTemplate() else {
            throw TokenizerError.missingChatTemplate(path: model.path)
        }
        guard let prompt = Self.defaultSystemPrompt(of: source) else {
            throw TokenizerError.unsupportedChatTemplate(path: model.path)
        }
        defaultSystemPrompt = prompt
    }

    /// Reads the template of a GGUF file.
    ///
    /// - Throws: As for a model in either form.
    public init(file: GGUFFile) throws { try self.init(.gguf(file)) }

    /// Writes a conversation as a prompt that the model is to continue as the assistant.
    ///
    /// Contents become text pieces only, so that nothing in them is taken for a control token.
    ///
    /// - Throws: `TokenizerError` where the template refuses the conversation.
    public func render(_ messages: [ChatMessage]) throws -> [PromptPiece] {
        var pieces: [PromptPiece] = []
        if let first = messages.first, first.role != .system {
            pieces += Self.turn("system", defaultSystemPrompt)
        }
        for message in messages { pieces += Self.turn(message.role.rawValue, message.content) }
        return pieces + [.control("<|im_start|>"), .text("assistant\n")]
    }

    private static func turn(_ role: String, _ content: String) -> [PromptPiece] {
        [.control("<|im_start|>"), .text("\(role)\n\(content)"), .control("<|im_end|>"), .text("\n")]
    }

    /// The template up to its default system prompt, and from there on; newlines stand in its literals as they are.
    private static let beforePrompt =
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        + "{{ '<|im_start|>system\n"
    private static let afterPrompt =
        "<|im_end|>\n' }}{% endif %}"
        + "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

    /// The default system prompt where the template is the known one, else nil.
    private static func defaultSystemPrompt(of source: String) -> String? {
        // In a Jinja literal the escape for a newline and a newline are the same.
        let source = source.split(separator: "\\n", omittingEmptySubsequences: false).joined(separator: "\n")
        guard source.utf8.count >= beforePrompt.utf8.count + afterPrompt.utf8.count,
            source.hasPrefix(beforePrompt), source.hasSuffix(afterPrompt)
        else { return nil }
        let prompt = source.dropFirst(beforePrompt.count).dropLast(afterPrompt.count)
        // Anything that would end the literal, escape in it or be a control token makes it another template.
        return prompt.contains(where: { "'\\<".contains($0) }) ? nil : String(prompt)
    }
}
