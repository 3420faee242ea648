// SPDX-License-Identifier: Apache-2.0
import Jinja
import ModelFiles

extension ChatMessage {
    /// The message as templates see it, which is as transformers passes it. All but the role is marked as input.
    var jinja: JinjaInput {
        var members: [(key: String, value: JinjaInput)] = [
            ("role", .text(role.rawValue)), ("content", .input(content)),
        ]
        // Templates ask whether it is there.
        if !toolCalls.isEmpty { members.append(("tool_calls", .list(toolCalls.map(\.jinja)))) }
        members += details.sorted { $0.key < $1.key }.map { ($0.key, .input($0.value)) }
        return .object(members)
    }
}

extension ChatMessage.ToolCall {
    fileprivate var jinja: JinjaInput {
        let function: [(key: String, value: JinjaInput)] = [
            ("name", .input(name)), ("arguments", JinjaInput(input: arguments)),
        ]
        let id: [(key: String, value: JinjaInput)] = id.map { [("id", .input($0))] } ?? []
        return .object(id + [("type", .text("function")), ("function", .object(function))])
    }
}

extension JinjaInput {
    /// A JSON value from elsewhere: its texts and keys are marked.
    init(input value: JSONValue) {
        switch value {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .number(let value): self = .number(value)
        case .string(let text): self = .input(text)
        case .array(let elements): self = .list(elements.map(JinjaInput.init(input:)))
        case .object(let members): self = .inputObject(members.map { ($0.key, JinjaInput(input: $0.value)) })
        }
    }
}
