// SPDX-License-Identifier: Apache-2.0

import Engine
import Foundation
import Tokenization

/// Turns a job's row into a request for the engine. Pure: everything wrong with the row is found here.
public struct JobPreparer: Sendable {
    private let templates: TemplateLibrary
    private let tokenizer: Tokenizer
    private let chatTemplate: ChatTemplate
    private let contextLength: Int
    private let advised: JobOptions
    private let constraints: ConstraintLibrary

    /// Makes a preparer for one model.
    ///
    /// - Parameter advised: What the model's makers advise where neither the job nor its template says anything.
    public init(
        templates: TemplateLibrary, tokenizer: Tokenizer, chatTemplate: ChatTemplate, contextLength: Int,
        advised: JobOptions = JobOptions()
    ) {
        self.templates = templates
        self.tokenizer = tokenizer
        self.chatTemplate = chatTemplate
        self.contextLength = contextLength
        self.advised = advised
        constraints = ConstraintLibrary(tokenizer)
    }

    /// What a job's row says.
    public struct Input: Sendable {
        /// The job's id, which seeds its sampling unless an option does.
        public var id: Int64
        /// Who submitted it: nobody else meets what its prompt leaves in caches.
        public var tenant: String
        /// The template's name.
        public var template: String
        /// The document, if the template takes one.
        public var document: String?
        /// A JSON object of texts.
        public var variables: String
        /// A JSON object of ``JobOptions``.
        public var options: String
        /// The template's YAML, if the job is for a certain version.
        public var templateSource: String?
        /// A JSON list of messages in place of the template's.
        public var messages: String?
        /// When the job was submitted: what its prompt takes for now, so that the same row gives the same prompt.
        public var submittedAt: Date

        /// Makes an input.
        public init(
            id: Int64, tenant: String = "", template: String, document: String?, variables: String, options: String,
            templateSource: String? = nil, messages: String? = nil,
            submittedAt: Date = Date(timeIntervalSince1970: 0)
        ) {
            self.submittedAt = submittedAt
            self.id = id
            self.tenant = tenant
            self.template = template
            self.document = document
            self.variables = variables
            self.options = options
            self.templateSource = templateSource
            self.messages = messages
        }
    }

    /// Does once what the first job would wait for otherwise: tables that text is split by are made when they are first used.
    /// A template that cannot be rendered is that job's to report.
    public func warmUp() {
        _ = try? tokenizer.encode(chatTemplate.render([ChatMessage(role: .user, content: "Hello.")], JobOptions()))
    }

    /// Makes the request.
    ///
    /// - Throws: ``JobFault`` for everything that is wrong with the job.
    public func request(for job: Input) throws(JobFault) -> GenerationRequest {
        let template = try template(for: job)
        let options = try Self.options(json: job.options).over(template.options).over(advised)
        try options.validate()
        let messages =
            if let given = job.messages {
                try ConversationReader.messages(json: given)
            } else {
                try template.messages(document: job.document, variables: Self.variables(json: job.variables))
            }
        try checkSize(messages)
        let prompt: [TokenID]
        do {
            let pieces = try chatTemplate.render(messages, options, date: job.submittedAt)
            prompt = try tokenizer.encode(pieces)
        } catch let error as TokenizerError {
            throw JobFault(.chatTemplateFailed, error.description)
        } catch {
            throw JobFault(.internalFailure, "the prompt could not be tokenised: \(error)")
        }
        let maxTokens = options.maxTokens ?? JobOptions.defaultMaxTokens
        try checkFit(prompt: prompt.count, maxTokens: maxTokens)
        var request = try options.request(prompt: prompt, defaultSeed: Int(job.id), constraints: constraints)
        request.cacheSalt = Array(job.tenant.utf8)
        return request
    }

    private func template(for job: Input) throws(JobFault) -> JobTemplate {
        guard let source = job.templateSource else { return try templates.template(named: job.template) }
        do {
            return try JobTemplate(yaml: source)
        } catch {
            throw JobFault(
                .unknownTemplate, "the job's version of the template '\(job.template)' cannot be read: \(error)")
        }
    }

    /// The outputs in JSON, where there are several or log-probabilities.
    func choices(of generation: Generation) -> String? { ChoiceRecord.json(of: generation, tokenizer: tokenizer) }

    /// What cannot fit by its size alone is not tokenised first: no vocabulary has tokens of a kilobyte.
    private func checkSize(_ messages: [ChatMessage]) throws(JobFault) {
        let bytes = messages.reduce(0) { $0 + $1.content.utf8.count }
        guard bytes / 1024 <= contextLength else {
            throw JobFault(
                .documentTooLong,
                "the prompt has \(formatByteCount(bytes)), but the model's context is \(contextLength) tokens: "
                    + "shorten the document")
        }
    }

    /// A document that leaves no room for the answer it asks for would be summarised in half a sentence: say so instead.
    private func checkFit(prompt: Int, maxTokens: Int) throws(JobFault) {
        guard prompt + min(maxTokens, contextLength) <= contextLength else {
            throw JobFault(
                .documentTooLong,
                "the prompt has \(prompt) tokens and max_tokens is \(maxTokens), but the model's context is "
                    + "\(contextLength): shorten the document or lower max_tokens")
        }
    }

    private static func options(json: String) throws(JobFault) -> JobOptions {
        do {
            return try JSONDecoder().decode(JobOptions.self, from: Data(json.utf8))
        } catch let error as JobFault {
            throw error
        } catch {
            throw JobFault(.invalidOptions, "options must be a JSON object such as {\"max_tokens\": 200}")
        }
    }

    private static func variables(json: String) throws(JobFault) -> [String: String] {
        do {
            return try JSONDecoder().decode([String: String].self, from: Data(json.utf8))
        } catch {
            throw JobFault(
                .invalidOptions, "variables must be a JSON object of texts such as {\"language\": \"French\"}")
        }
    }
}

extension LoadedModel {
    /// What turns jobs into requests for this model.
    ///
    /// - Throws: `TokenizerError` where the model has no chat template, or one that cannot be read.
    public func preparer(_ templates: TemplateLibrary) throws -> JobPreparer {
        JobPreparer(
            templates: templates, tokenizer: tokenizer, chatTemplate: try chatTemplate(),
            contextLength: model.configuration.contextLength, advised: advised)
    }
}

extension ChatTemplate {
    /// Writes a conversation with the tools and settings of a job's options.
    public func render(_ messages: [ChatMessage], _ options: JobOptions, date: Date = Date()) throws -> [PromptPiece] {
        try render(
            messages, tools: options.tools?.tools ?? [], settings: options.templateSettings?.members ?? [], date: date)
    }
}
