// SPDX-License-Identifier: Apache-2.0

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
        "stream": .bool(false), "parallel_tool_calls": .bool(true), "tool_choice": .text("auto"),
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
            guard let role = message.members?["role"]?.text.flatMap({ roles[$0] }) else {
                throw LineFault(
                    "unsupported_value", "a role must be system, developer, user, assistant or tool",
                    param: "\(place).role")
            }
            let calls = message.members?["tool_calls"]?.elements ?? []
            guard isText(message.members?["content"]) || !calls.isEmpty else {
                throw LineFault(
                    "unsupported_value", "content must be a text, or a list of parts of the type text",
                    param: "\(place).content")
            }
            messages.append(.object((message.members ?? [:]).merging(["role": .text(role)]) { $1 }))
        }
        return messages
    }

    private static func isText(_ content: JSONValue?) -> Bool {
        if content?.text != nil { return true }
        guard let parts = content?.elements else { return false }
        return parts.allSatisfy { $0.members?["type"]?.text == "text" && $0.members?["text"]?.text != nil }
    }

    /// The queue's options for a body.
    static func options(_ body: [String: JSONValue]) throws(LineFault) -> [String: JSONValue] {
        var options = body.filter { same.contains($0.key) && $0.value != .null }
        for (name, value) in body.sorted(by: { $0.key < $1.key })
        where value != .null && !same.contains(name) && !ignored.contains(name) && harmless[name] != value {
            throw LineFault(
                "unsupported_parameter", "'\(name.prefix(100))' is not supported", param: "body.\(name.prefix(100))")
        }
        // The newer name goes before the older one.
        if let limit = body["max_completion_tokens"], limit != .null { options["max_tokens"] = limit }
        switch body["stop"] {
        case nil, .null: break
        case .text(let stop): options["stop"] = .array([.text(stop)])
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
        switch format.members?["type"]?.text {
        case "text": return nil
        case "json_schema":
            if let schema = format.members?["json_schema"]?.members?["schema"] { return schema }
            fallthrough
        default:
            throw LineFault(
                "unsupported_value", "response_format must be of the type text or json_schema, with a schema",
                param: "body.response_format")
        }
    }
}
