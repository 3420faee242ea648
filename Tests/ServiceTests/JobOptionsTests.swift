// SPDX-License-Identifier: Apache-2.0

import Engine
import Foundation
import ModelFiles
import Testing
import Tokenization

@testable import Service

@Suite struct JobOptionsTests {
    private func options(_ json: String) throws -> JobOptions {
        try JSONDecoder().decode(JobOptions.self, from: Data(json.utf8))
    }

    @Test func aJobsOptionsGoOverItsTemplates() throws {
        let merged = try options(#"{"max_tokens": 5, "top_k": 3}"#).over(
            options(#"{"max_tokens": 9, "temperature": 0.5, "seed": 4}"#))
        #expect(merged.maxTokens == 5)
        let sampling = try merged.sampling(defaultSeed: 77)
        #expect(sampling == .init(temperature: 0.5, topK: 3, topP: 1, seed: 4))
        #expect(try options("{}").sampling(defaultSeed: 77).seed == 77)
    }

    @Test(arguments: [
        #"{"max_tokens": "many"}"#, #"{"max_tokens": 1.5}"#, #"{"max_tokens": 99999999999999999999}"#,
        #"{"stop": "x"}"#, #"{"temprature": 1}"#, #"{"logit_bias": [1]}"#, #"{"n": "2"}"#,
        #"{"stop_token_ids": ["a"]}"#,
    ])
    func whatCannotBeReadIsATypedError(json: String) {
        #expect {
            try options(json)
        } throws: {
            ($0 as? JobFault)?.code == .invalidOptions
        }
    }

    @Test(arguments: [
        #"{"max_tokens": 0}"#, #"{"max_tokens": -4}"#, #"{"temperature": -1}"#, #"{"top_p": 2}"#, #"{"top_k": -1}"#,
        #"{"stop": [""]}"#, #"{"min_p": 2}"#, #"{"repetition_penalty": 0}"#, #"{"logit_bias": {"the": 1}}"#,
        #"{"logit_bias": {"7": 200}}"#, #"{"json_schema": {"type": "thing"}}"#, #"{"json_schema": "{"}"#,
        #"{"json_schema": {"type": "string", "pattern": "(?=a)"}}"#,
    ])
    func whatIsOutOfRangeIsATypedError(json: String) throws {
        let options = try options(json)
        #expect {
            try options.validate()
        } throws: {
            ($0 as? JobFault)?.code == .invalidOptions
        }
    }

    @Test func everyOptionReachesTheRequest() throws {
        let options = try options(
            #"""
            {"max_tokens": 40, "min_tokens": 3, "temperature": 0.5, "top_k": 9, "top_p": 0.9, "min_p": 0.1,
             "repetition_penalty": 1.2, "presence_penalty": -1, "frequency_penalty": 0.5, "logit_bias": {"17": -100},
             "seed": 5, "stop": ["x"], "stop_token_ids": [3], "n": 4, "logprobs": 2}
            """#)
        try options.validate()
        let tokenizer = try Tokenizer(file: GGUFFile(path: modelPath))
        let request = try options.request(
            prompt: [1], defaultSeed: 9, constraints: ConstraintLibrary(tokenizer))
        #expect(
            request.sampling
                == .init(
                    temperature: 0.5, topK: 9, topP: 0.9, minP: 0.1, repetitionPenalty: 1.2, presencePenalty: -1,
                    frequencyPenalty: 0.5, logitBias: [17: -100], seed: 5))
        #expect(request.maxTokens == 40 && request.minTokens == 3 && request.samples == 4 && request.logprobs == 2)
        #expect(request.stopStrings == ["x"] && request.stopTokens == [3] && request.constraint == nil)
    }

    @Test func aSchemaMayBeAnObjectOrAText() throws {
        let library = ConstraintLibrary(try Tokenizer(file: GGUFFile(path: modelPath)))
        let object = try options(
            #"{"json_schema": {"type": "array", "items": {"enum": ["a/b", 1, null, true]}, "maxItems": 2}}"#)
        let text = try options(#"{"json_schema": "{\"type\": \"integer\"}"}"#)
        #expect(object.jsonSchema?.text == #"{"items":{"enum":["a/b",1,null,true]},"maxItems":2,"type":"array"}"#)
        for options in [object, text] {
            try options.validate()
            let request = try options.request(prompt: [1], defaultSeed: 0, constraints: library)
            let again = try options.request(prompt: [1], defaultSeed: 0, constraints: library)
            #expect(request.constraint != nil && request.constraint === again.constraint)
        }
    }

    private var modelPath: String {
        ProcessInfo.processInfo.environment["DELTAKV_TEST_MODEL"]
            ?? NSHomeDirectory() + "/.cache/deltakv/models/smollm2-135m-instruct-q4_1.gguf"
    }
}
