// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing
import Tokenization

@testable import Service

@Suite struct JobTemplateTests {
    private let yaml = """
        name: ask
        messages:
          - role: system
            content: Answer in {{ language }}.
          - role: user
            content: "{{document}}\\n\\n{{question}}"
        options:
          max_tokens: 12
          stop: ["\\n"]
        """

    @Test func placeholdersAreFilledOnce() throws {
        let template = try JobTemplate(yaml: yaml)
        let messages = try template.messages(
            document: "about {{question}} and {{document}}", variables: ["language": "French", "question": "Why?"])
        #expect(messages.map(\.content) == ["Answer in French.", "about {{question}} and {{document}}\n\nWhy?"])
        #expect(template.options.maxTokens == 12)
        #expect(template.options.stop == ["\n"])
    }

    @Test func whatIsMissingHasItsOwnCode() throws {
        let template = try JobTemplate(yaml: yaml)
        #expect {
            try template.messages(document: "x", variables: ["language": "French"])
        } throws: {
            ($0 as? JobFault)?.code == .missingVariable && "\($0)".contains("'question'")
        }
        for document in [nil, "", " \n\t\u{3000}"] {
            #expect {
                try template.messages(document: document, variables: ["language": "a", "question": "b"])
            } throws: {
                ($0 as? JobFault)?.code == .emptyDocument
            }
        }
    }

    @Test(arguments: [
        ("name: a\nmesages: []", "mesages"),
        ("name: a", "messages"),
        ("name: a\nmessages: [{role: robot, content: x}]", "robot"),
        ("name: a\nmessages: [{role: system, content: x}]", "last message"),
        ("name: a\nmessages: [{role: user, content: x}]\noptions: {max_token: 3}", "max_token"),
        ("name: a\nmessages: [{role: user, content: x}]\noptions: {max_tokens: -3}", "max_tokens"),
        ("name: [", ""),
    ])
    func mistakesAreNamed(yaml: String, hint: String) {
        #expect {
            try JobTemplate(yaml: yaml)
        } throws: {
            hint.isEmpty || "\($0)".contains(hint)
        }
    }

    @Test func theShippedTemplatesAreSound() throws {
        let library = try TemplateLibrary(directory: Installation().jobs)
        #expect(library.names.contains("summarize"))
        let messages = try library.template(named: "summarize").messages(document: "A text.", variables: [:])
        #expect(messages.last?.content.contains("A text.") == true)
        #expect {
            try library.template(named: "sumarize")
        } throws: {
            ($0 as? JobFault)?.code == .unknownTemplate && "\($0)".contains("summarize")
        }
    }

    @Test func twoFilesMayNotShareAName() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        for file in ["a.yaml", "b.yaml"] {
            try Data(yaml.utf8).write(to: directory.appendingPathComponent(file))
        }
        #expect {
            try TemplateLibrary(directory: directory.path)
        } throws: {
            "\($0)".contains("b.yaml")
        }
    }
}
