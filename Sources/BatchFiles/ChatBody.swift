// SPDX-License-Identifier: Apache-2.0
import ModelFiles

/// The body of a chat completion request, in the queue's words.
enum ChatBody {
    /// Members that change nothing that is computed here.
    private static let ignored: Set<String> = [
        "model", "messages", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
        "logprobs", "top_logprobs", "max_completion_tokens", "response_format", "stop",
    ]
    /// Members that are options of the same name; the last six are vLLM's.
    private static let same: Set<String> = [
        "max_tokens", "temperature", "top_p", "n", "seed", "presence_penalty", "frequency_penalty", "logit_bias",
        "tools", "chat_template_kwargs", "top_k", "min_p", "repetition_penalty", "min_tokens", "stop_token_ids",
    ]
    /// Members that ask for nothing when they have this value.
    private static let harmless: [String: JSONValue] = [
        "stream": .bool(false), "parallel_tool_calls": .bool(true), "tool_choice": .string("auto"),
    ]

    static func model(_ value: JSONValue?) throws(LineFault) -> String {
        guard let name = value?.text, !name.isEmpty else {
            throw LineFault("missing_required_parameter", "model must be a text", param: "body.model")
        }
        return name
    }

    /// The messages as they are, but that a developer is a system.
    static func messages(_ value: JSONValue?) throws(LineFault) -> [JSONValue] {
        guard let given = value?.elements, !given.isEmpty else {
            throw LineFault("missing_required_parameter", "messages must be a list", param: "body.messages")
        }
        var messages: [JSONValue] = []
        for (index, message) in given.enumerated() {
            let place = "body.messages[\(index)]"
            let roles = [
                "system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool",
            ]
            guard let role = message["role"]?.text.flatMap({ roles[$0] }) else {
                throw LineFault(
                    "unsupported_value", "a role must be system, developer, user, assistant or tool",
                    param: "\(place).role")
            }
            let calls = message["tool_calls"]?.elements ?? []
            guard isText(message["content"]) || !calls.isEmpty else {
                throw LineFault(
                    "unsupported_value", "content must be a text, or a list of parts of the type text",
                    param: "\(place).content")
            }
            messages.append(
                .object(
                    (message.members ?? []).map { $0.key == "role" ? .init(key: "role", value: .string(role)) : $0 }))
        }
        return messages
    }

    private static func isText(_ content: JSONValue?) -> Bool {
        if content?.text != nil { return true }
        guard let parts = content?.elements else { return false }
        return parts.allSatisfy { $0["type"]?.text == "text" && $0["text"]?.text != nil }
    }

    /// The queue's options for a body.
    static func options(_ body: JSONValue) throws(LineFault) -> [String: JSONValue] {
        var options: [String: JSONValue] = [:]
        for member in body.members ?? [] where member.value != .null {
            let name = member.key
            if same.contains(name) {
                options[name] = member.value
            } else if !ignored.contains(name), harmless[name] != member.value {
                throw LineFault(
                    "unsupported_parameter", "'\(name.prefix(100))' is not supported", param: "body.\(name.prefix(100))"
                )
            }
        }
        // The newer name goes before the older one.
        if let limit = body["max_completion_tokens"], limit != .null { options["max_tokens"] = limit }
        switch body["stop"] {
        case nil, .null: break
        case .string(let stop): options["stop"] = .array([.string(stop)])
        case .some(let stops): options["stop"] = stops
        }
        if body["logprobs"] == .bool(true) {
            options["logprobs"] = body["top_logprobs"].flatMap { $0 == .null ? nil : $0 } ?? .integer(0)
        }
        if let schema = try schema(body["response_format"]) { options["json_schema"] = schema }
        return options
    }

    private static func schema(_ format: JSONValue?) throws(LineFault) -> JSONValue? {
        guard let format, format != .null else { return nil }
        switch format["type"]?.text {
        case "text": return nil
        case "json_schema":
            if let schema = format["json_schema"]?["schema"] { return schema }
            fallthrough
        default:
            throw LineFault(
                "unsupported_value", "response_format must be of the type text or json_schema, with a schema",
                param: "body.response_format")
        }
    }
}
