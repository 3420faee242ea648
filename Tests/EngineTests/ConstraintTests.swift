// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import ModelFiles
import StructuredOutput
import Testing
import Tokenization

@testable import Engine

/// JSON by a schema from the real model. `DELTAKV_SCHEMA_PROMPTS` sets how many prompts, and `DELTAKV_SCHEMA_OUTPUT` a file for
/// the outputs (`ops/check-schema` validates those of 200 prompts with another library).
@Suite(.serialized) struct ConstraintTests {
    static let schemas = [
        #"{"type":"object","properties":{"name":{"type":"string","maxLength":40},"age":{"type":"integer","minimum":0,"maximum":120},"city":{"type":"string"}},"required":["name","age","city"]}"#,
        #"{"type":"object","properties":{"summary":{"type":"string","minLength":10,"maxLength":200},"topics":{"type":"array","items":{"type":"string","minLength":1},"minItems":1,"maxItems":5},"sentiment":{"enum":["positive","neutral","negative"]}},"required":["summary","topics","sentiment"]}"#,
        #"{"type":"array","items":{"type":"object","properties":{"word":{"type":"string"},"count":{"type":"integer"},"known":{"type":"boolean"}},"required":["word","count"]},"minItems":1,"maxItems":4}"#,
        #"{"anyOf":[{"type":"object","properties":{"error":{"type":"string"}},"required":["error"]},{"type":"object","properties":{"value":{"type":"number"},"unit":{"type":["string","null"]}},"required":["value","unit"]}]}"#,
        ##"{"$defs":{"node":{"type":"object","properties":{"title":{"type":"string","maxLength":30},"parts":{"type":"array","items":{"$ref":"#/$defs/node"},"maxItems":2}},"required":["title"]}},"$ref":"#/$defs/node"}"##,
        #"{"enum":["yes","no","I do not know",42,null]}"#,
        #"{"type":"object","properties":{"date":{"type":"string","pattern":"^\\d{4}-(0[1-9]|1[0-2])-[0-3]\\d$"},"tag":{"type":"string","pattern":"[a-z]","minLength":2,"maxLength":12}},"required":["date","tag"]}"#,
        #"{"oneOf":[{"type":"object","properties":{"kind":{"const":"error"},"text":{"type":"string","maxLength":40}},"required":["kind","text"]},{"type":"object","properties":{"kind":{"enum":["fact","guess"]},"value":{"type":"integer"}},"required":["kind","value"]}]}"#,
        #"{"type":"object","properties":{"confidence":{"type":"number","minimum":0,"maximum":1},"celsius":{"type":"number","exclusiveMinimum":-273.15,"maximum":1e3}},"required":["confidence","celsius"]}"#,
        "{}",
    ]
    private static let subjects = [
        "a lighthouse keeper", "the river Nile", "a recipe for bread", "quantum physics", "a cat named Ada",
        "Zürich in winter", "the number 7", "an error in a program",
    ]

    private func isComplete(_ text: String, _ schema: String) throws -> Bool {
        let value = try JSONValue(json: text)
        return try SchemaCheck.holds(value, JSONValue(json: schema), root: JSONValue(json: schema))
    }

    @Test func everyOutputParsesAndValidates() async throws {
        let test = try TestModel.shared.get(), engine = try test.engine()
        defer { engine.stop() }
        let trie = TokenTrie(test.tokenizer)
        let constraints = try Self.schemas.map { try JSONConstraint(schema: $0, trie: trie) }
        let environment = ProcessInfo.processInfo.environment
        let count = environment["DELTAKV_SCHEMA_PROMPTS"].flatMap { Int($0) } ?? 21
        let outputs = try await withThrowingTaskGroup(of: (Int, Generation).self) { group in
            for index in 0..<count {
                let constraint = constraints[index % constraints.count]
                let subject = Self.subjects[index / constraints.count % Self.subjects.count]
                // Every third is cut short: the fewest tokens that there may be, and some more.
                let tight = constraint.minimumTokens + index % 7
                let request = GenerationRequest(
                    prompt: test.tokenizer.encode("Question \(index): describe \(subject) as JSON.\n\nAnswer:\n"),
                    maxTokens: index % 3 == 0 ? tight : 96,
                    sampling: SamplingParameters(temperature: index % 2 == 0 ? 0 : 1.2, seed: UInt64(index)),
                    constraint: constraint)
                group.addTask { (index, try await engine.generate(request)) }
            }
            return try await group.reduce(into: [Int: Generation]()) { $0[$1.0] = $1.1 }
        }
        var lines = ""
        for (index, output) in outputs.sorted(by: { $0.key < $1.key }) {
            let schema = Self.schemas[index % Self.schemas.count]
            #expect(output.finishReason == .stop, "\(output.text)")
            #expect(try isComplete(output.text, schema), "\(schema) \(output.text)")
            lines += try
                "{\"schema\": \(schema), \"output\": \(String(decoding: JSONEncoder().encode(output.text), as: UTF8.self))}\n"
        }
        #expect(outputs.count == count)
        if let path = environment["DELTAKV_SCHEMA_OUTPUT"] {
            try lines.write(toFile: path, atomically: true, encoding: .utf8)
        }
    }

    @Test func tooFewTokensForAnyOutputAreAnError() async throws {
        let test = try TestModel.shared.get(), engine = try test.engine()
        defer { engine.stop() }
        let constraint = try JSONConstraint(schema: Self.schemas[0], trie: TokenTrie(test.tokenizer))
        var request = test.request("x", maxTokens: constraint.minimumTokens - 1)
        request.constraint = constraint
        await #expect { try await engine.generate(request) } throws: { "\($0)".contains("raise max_tokens") }
        request.maxTokens = 50
        request.stopStrings = ["}"]
        await #expect { try await engine.generate(request) } throws: { "\($0)".contains("stop") }
    }
}

/// A judge of its own for the keywords that the schemas above use.
private enum SchemaCheck {
    static func holds(_ value: JSONValue, _ schema: JSONValue, root: JSONValue) -> Bool {
        if let reference = schema["$ref"]?.text {
            return holds(value, root["$defs"]![String(reference.split(separator: "/").last!)]!, root: root)
        }
        if let any = schema["anyOf"]?.elements { return any.contains { holds(value, $0, root: root) } }
        if let one = schema["oneOf"]?.elements { return one.count { holds(value, $0, root: root) } == 1 }
        if let constant = schema["const"] { return constant == value }
        if let values = schema["enum"]?.elements { return values.contains { "\($0)" == "\(value)" } }
        let types = schema["type"]?.text.map { [$0] } ?? schema["type"]?.elements?.compactMap(\.text)
        if let types, !types.contains(where: { isOf(value, $0) }) { return false }
        if let text = value.text {
            let count = text.unicodeScalars.count
            let isFound = schema["pattern"]?.text.map { text.range(of: $0, options: .regularExpression) != nil } ?? true
            return isFound && count >= schema["minLength"]?.int ?? 0 && count <= schema["maxLength"]?.int ?? .max
        }
        if let number = value.double {
            return number >= schema["minimum"]?.double ?? -.infinity && number <= schema["maximum"]?.double ?? .infinity
                && number > schema["exclusiveMinimum"]?.double ?? -.infinity
        }
        if let elements = value.elements {
            return elements.count >= schema["minItems"]?.int ?? 0 && elements.count <= schema["maxItems"]?.int ?? .max
                && elements.allSatisfy { element in schema["items"].map { holds(element, $0, root: root) } ?? true }
        }
        guard let members = value.members else { return true }
        return (schema["required"]?.elements ?? []).allSatisfy { value[$0.text!] != nil }
            && members.allSatisfy { member in
                schema["properties"]?[member.key].map { holds(member.value, $0, root: root) } ?? true
            }
    }

    private static func isOf(_ value: JSONValue, _ type: String) -> Bool {
        switch (value, type) {
        case (.null, "null"), (.bool, "boolean"), (.integer, "integer"), (.integer, "number"), (.number, "number"),
            (.string, "string"),
            (.array, "array"), (.object, "object"):
            true
        default: false
        }
    }
}
