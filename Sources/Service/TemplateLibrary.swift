// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The job templates of a directory, by name.
public struct TemplateLibrary: Sendable {
    private let templates: [String: JobTemplate]
    /// The text of each template's file, by name.
    public let sources: [String: String]

    /// The templates' names, sorted.
    public var names: [String] { templates.keys.sorted() }

    /// Holds these templates.
    public init(_ templates: [JobTemplate]) {
        self.templates = Dictionary(templates.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        sources = [:]
    }

    /// Reads every `*.yaml` file of a directory.
    ///
    /// - Throws: ``TemplateError`` that names the file, for a file that is not a template and for a name used twice.
    public init(directory: String) throws {
        let files: [String]
        do {
            files = try FileManager.default.contentsOfDirectory(atPath: directory)
        } catch {
            throw TemplateError("the template directory \(directory) cannot be read: \(error.localizedDescription)")
        }
        var templates: [String: JobTemplate] = [:]
        var sources: [String: String] = [:]
        for file in files.sorted() where file.hasSuffix(".yaml") {
            let path = directory + "/" + file
            do {
                let text = try String(contentsOfFile: path, encoding: .utf8)
                let template = try JobTemplate(yaml: text)
                sources[template.name] = text
                guard templates.updateValue(template, forKey: template.name) == nil else {
                    throw TemplateError("another file has the name '\(template.name)' already")
                }
            } catch {
                throw TemplateError("\(path): \(error)")
            }
        }
        self.templates = templates
        self.sources = sources
    }

    /// Finds a template.
    ///
    /// - Throws: ``JobFault`` with code `unknown_template`.
    public func template(named name: String) throws(JobFault) -> JobTemplate {
        guard let template = templates[name] else {
            let known = names.isEmpty ? "there are none" : "there are: " + names.joined(separator: ", ")
            throw JobFault(.unknownTemplate, "there is no template '\(name)': \(known)")
        }
        return template
    }
}
