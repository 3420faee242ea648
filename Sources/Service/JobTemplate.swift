// SPDX-License-Identifier: Apache-2.0

import Foundation
import Tokenization
import Yams

/// A kind of job: the messages that a document is put into, and how the answer is generated. One YAML file in `Jobs/`.
public struct JobTemplate: Sendable, Equatable, Decodable {
    /// A message with placeholders: `{{document}}` and `{{name}}` for a job's variables.
    public struct Message: Sendable, Equatable, Decodable {
        /// Who speaks.
        public let role: ChatMessage.Role
        /// What is said, placeholders not yet filled in.
        public let content: String

        private enum CodingKeys: String, CodingKey { case role, content }

        /// Reads a message.
        public init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            let name = try values.decode(String.self, forKey: .role)
            guard let role = ChatMessage.Role(rawValue: name), role != .tool else {
                throw TemplateError("the role '\(name)' is not system, user or assistant")
            }
            self.role = role
            content = try values.decode(String.self, forKey: .content)
        }
    }

    /// What `deltakv.submit` calls it.
    public let name: String
    /// For people: what it does.
    public let description: String?
    /// The conversation that ends with the model's turn.
    public let messages: [Message]
    /// Sampling and limits, where a job says nothing else.
    public let options: JobOptions

    private enum CodingKeys: String, CodingKey, CaseIterable { case name, description, messages, options }

    /// Reads a template strictly: names that are not known are errors.
    public init(from decoder: any Decoder) throws {
        let names = try decoder.container(keyedBy: AnyKey.self).allKeys.map(\.stringValue)
        if let unknown = names.sorted().first(where: { CodingKeys(rawValue: $0) == nil }) {
            throw TemplateError("there is no field '\(unknown)': the fields are name, description, messages, options")
        }
        let values = try decoder.container(keyedBy: CodingKeys.self)
        name = try values.decode(String.self, forKey: .name)
        description = try values.decodeIfPresent(String.self, forKey: .description)
        messages = try values.decode([Message].self, forKey: .messages)
        options = try values.decodeIfPresent(JobOptions.self, forKey: .options) ?? JobOptions()
        guard messages.last?.role == .user else { throw TemplateError("the last message must be the user's") }
        try options.validate()
    }

    /// Reads a template from YAML.
    ///
    /// - Throws: ``TemplateError`` that says what is wrong.
    public init(yaml: String) throws {
        do {
            self = try YAMLDecoder().decode(JobTemplate.self, from: yaml)
        } catch let error as DecodingError {
            throw TemplateError("\(error.reason)")
        } catch let error as JobFault {
            throw TemplateError(error.message)
        }
    }

    /// The conversation for one job, every placeholder filled in.
    ///
    /// - Throws: ``JobFault`` with code `missing_variable` or `empty_document`.
    public func messages(
        document: String?, variables: [String: String]
    ) throws(JobFault) -> [ChatMessage] {
        var filled: [ChatMessage] = []
        for message in messages {
            let text = try PlaceholderText(message.content).filled { name throws(JobFault) in
                guard name == "document" else {
                    guard let value = variables[name] else {
                        throw JobFault(.missingVariable, "the template needs the variable '\(name)': pass it to submit")
                    }
                    return value
                }
                guard let document, document.contains(where: { !$0.isWhitespace }) else {
                    throw JobFault(.emptyDocument, "the document is empty: there is nothing to work on")
                }
                return document
            }
            filled.append(ChatMessage(role: message.role, content: text))
        }
        return filled
    }
}

/// What is wrong with a template.
public struct TemplateError: Error, CustomStringConvertible {
    /// What is wrong and where.
    public let description: String

    init(_ description: String) { self.description = description }
}

extension DecodingError {
    /// The part of a decoding error that a person can use.
    fileprivate var reason: String {
        switch self {
        case .keyNotFound(let key, _): "the field '\(key.stringValue)' is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            (context.underlyingError as? any CustomStringConvertible)?.description
                ?? "\(context.codingPath.map(\.stringValue).joined(separator: ".")): \(context.debugDescription)"
        @unknown default: "\(self)"
        }
    }
}
