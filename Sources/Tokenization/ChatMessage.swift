// SPDX-License-Identifier: Apache-2.0
import ModelFiles

/// One message of a conversation.
public struct ChatMessage: Equatable, Sendable {
    /// Who speaks.
    public enum Role: String, Sendable {
        /// Instructions for the whole conversation.
        case system
        /// The person who asks.
        case user
        /// The model.
        case assistant
        /// A tool that the model called.
        case tool
    }

    /// What the model wants a tool to do.
    public struct ToolCall: Equatable, Sendable {
        /// Which call it is, where messages say so.
        public var id: String?
        /// The tool.
        public var name: String
        /// Its arguments, an object.
        public var arguments: JSONValue

        /// Makes a call.
        public init(id: String? = nil, name: String, arguments: JSONValue) {
            self.id = id
            self.name = name
            self.arguments = arguments
        }
    }

    /// Who speaks.
    public var role: Role
    /// What is said.
    public var content: String
    /// The tools that the assistant calls.
    public var toolCalls: [ToolCall]
    /// What else some templates look at, such as `tool_call_id`, `name` and `reasoning_content`.
    public var details: [String: String]

    /// Makes a message.
    public init(role: Role, content: String, toolCalls: [ToolCall] = [], details: [String: String] = [:]) {
        self.role = role
        self.content = content
        self.toolCalls = toolCalls
        self.details = details
    }
}
