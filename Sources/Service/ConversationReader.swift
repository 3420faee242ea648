// SPDX-License-Identifier: Apache-2.0

import ModelFiles
import Tokenization

/// Reads the messages of a job, as OpenAI's API has them; what vLLM does to them before a template sees them is done here.
enum ConversationReader {
    /// The conversation in a JSON list of messages, the last of them the user's or a tool's.
    ///
    /// - Throws: ``JobFault`` with the code `invalid_messages` that says which message is wrong and how.
    static func messages(json: String) throws(JobFault) -> [ChatMessage] {
        let value: JSONValue
        do { value = try JSONValue(json: json) } catch { throw fault("messages must be a JSON list: \(error)") }
        guard let list = value.elements, !list.isEmpty else {
            throw fault("messages must be a JSON list such as [{\"role\": \"user\", \"content\": \"Hello\"}]")
        }
        var messages: [ChatMessage] = []
        for (index, entry) in list.enumerated() { messages.append(try message(entry, "message \(index + 1)")) }
        guard let last = messages.last, last.role == .user || last.role == .tool else {
            throw fault("the last message must be the user's or a tool's: the model speaks next")
        }
        return messages
    }

    private static func message(_ entry: JSONValue, _ place: String) throws(JobFault) -> ChatMessage {
        guard let name = entry["role"]?.text, let role = ChatMessage.Role(rawValue: name) else {
            throw fault("\(place) needs a role: system, user, assistant or tool")
        }
        if let call = entry["function_call"], call != .null {
            throw fault("\(place) has a function_call, which was replaced by tool_calls")
        }
        let calls = try calls(entry["tool_calls"] ?? .null, role, place)
        var details: [String: String] = [:]
        for key in ["name", "tool_call_id", "reasoning_content"] {
            guard let value = entry[key], value != .null else { continue }
            guard let text = value.text else { throw fault("the \(key) of \(place) must be a text") }
            details[key] = text
        }
        return ChatMessage(
            role: role, content: try content(entry["content"] ?? .null, isOptional: !calls.isEmpty, place),
            toolCalls: calls, details: details)
    }

    /// A text, or parts, which are joined line by line.
    private static func content(_ value: JSONValue, isOptional: Bool, _ place: String) throws(JobFault) -> String {
        switch value {
        case .string(let text): return text
        case .null where isOptional: return ""
        case .array(let parts):
            var texts: [String] = []
            for part in parts {
                guard part["type"]?.text == "text", let text = part["text"]?.text else {
                    let type = part["type"]?.text ?? "unknown"
                    throw fault(
                        "\(place) has a part of the type '\(type)': only parts {\"type\": \"text\"} can be read")
                }
                texts.append(text)
            }
            return texts.joined(separator: "\n")
        default: throw fault("\(place) needs a content, a text or a list of parts")
        }
    }

    private static func calls(
        _ value: JSONValue, _ role: ChatMessage.Role, _ place: String
    ) throws(JobFault) -> [ChatMessage.ToolCall] {
        if value == .null || value == .array([]) { return [] }
        guard role == .assistant else { throw fault("\(place) is not the assistant's, which alone calls tools") }
        guard let entries = value.elements else { throw fault("the tool_calls of \(place) must be a list") }
        var calls: [ChatMessage.ToolCall] = []
        for entry in entries {
            guard entry["type"] ?? .string("function") == .string("function"), let function = entry["function"],
                let name = function["name"]?.text
            else {
                throw fault(
                    "a tool call of \(place) must be {\"type\": \"function\", \"function\": {\"name\": ..., \"arguments\": ...}}"
                )
            }
            let arguments = try arguments(function["arguments"] ?? .null, of: name, place)
            calls.append(ChatMessage.ToolCall(id: entry["id"]?.text, name: name, arguments: arguments))
        }
        return calls
    }

    /// The API writes arguments as a text that holds an object; templates expect the object.
    private static func arguments(_ value: JSONValue, of name: String, _ place: String) throws(JobFault) -> JSONValue {
        switch value {
        case .null, .string(""): return .object([])
        case .object: return value
        case .string(let text):
            if let object = try? JSONValue(json: text), object.members != nil { return object }
        default: break
        }
        throw fault("the arguments of '\(name)' in \(place) must be a JSON object, or a text that holds one")
    }

    private static func fault(_ message: String) -> JobFault { JobFault(.invalidMessages, message) }
}
