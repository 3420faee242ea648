// SPDX-License-Identifier: Apache-2.0

import ModelFiles

/// The tools that the model may call, as OpenAI's API describes them: a list, or a text that holds one and keeps its order of
/// members, which PostgreSQL's `jsonb` does not.
public struct ToolList: Sendable, Equatable, Decodable {
    /// The tools.
    public let tools: [JSONValue]

    /// Reads a list.
    ///
    /// - Throws: ``JobFault`` that says which tool is not as it should be.
    public init(from decoder: any Decoder) throws {
        let value = try JSONValue(from: decoder)
        if let text = value.text { try self.init(json: text) } else { try self.init(value.inToolOrder) }
    }

    /// Reads a list from a text.
    public init(json: String) throws(JobFault) {
        let value: JSONValue
        do { value = try JSONValue(json: json) } catch { throw Self.fault("\(error)") }
        try self.init(value)
    }

    private init(_ value: JSONValue) throws(JobFault) {
        guard let tools = value.elements, tools.count <= 128 else {
            throw Self.fault("it must be a list of at most 128 objects of the type function")
        }
        for (index, tool) in tools.enumerated() {
            guard tool["type"]?.text == "function", let function = tool["function"] else {
                throw Self.fault("tool \(index) must be {\"type\": \"function\", \"function\": {...}}")
            }
            guard let name = function["name"]?.text, !name.isEmpty else {
                throw Self.fault("tool \(index) has no name")
            }
            switch function["parameters"] {
            case nil, .null?, .object?: continue
            default: throw Self.fault("the parameters of '\(name)' must be a JSON schema")
            }
        }
        self.tools = tools
    }

    private static func fault(_ reason: String) -> JobFault { JobFault(.invalidOptions, "tools: " + reason) }
}

/// Further variables of the model's chat template, such as `{"enable_thinking": false}`.
public struct TemplateSettings: Sendable, Equatable, Decodable {
    /// The variables.
    public let members: [JSONValue.Member]

    /// What the program itself says to templates.
    private static let reserved: Set<String> = ["messages", "tools", "documents", "add_generation_prompt"]

    /// Reads an object.
    ///
    /// - Throws: ``JobFault`` where it is none, or names what the program itself sets.
    public init(from decoder: any Decoder) throws {
        try self.init(JSONValue(from: decoder).inToolOrder)
    }

    /// Reads an object from a text.
    public init(json: String) throws(JobFault) {
        let value: JSONValue
        do { value = try JSONValue(json: json) } catch { throw Self.fault("\(error)") }
        try self.init(value)
    }

    private init(_ value: JSONValue) throws(JobFault) {
        guard let members = value.members else {
            throw Self.fault("it must be an object such as {\"enable_thinking\": false}")
        }
        if let taken = members.first(where: { Self.reserved.contains($0.key) || $0.key.hasSuffix("_token") }) {
            throw Self.fault("'\(taken.key)' is not for jobs to set")
        }
        self.members = members
    }

    private static func fault(_ reason: String) -> JobFault {
        JobFault(.invalidOptions, "chat_template_kwargs: " + reason)
    }
}
