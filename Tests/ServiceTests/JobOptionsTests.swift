// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

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
        #"{"stop": "x"}"#, #"{"temprature": 1}"#,
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
        #"{"stop": [""]}"#,
    ])
    func whatIsOutOfRangeIsATypedError(json: String) throws {
        let options = try options(json)
        #expect {
            try options.validate()
        } throws: {
            ($0 as? JobFault)?.code == .invalidOptions
        }
    }
}
