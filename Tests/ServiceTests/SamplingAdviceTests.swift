// SPDX-License-Identifier: Apache-2.0
import Engine
import Foundation
import ModelFiles
import Testing

@testable import Service

@Suite struct SamplingAdviceTests {
    private func withFolder<Result>(_ generation: String?, _ body: (String) throws -> Result) throws -> Result {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("deltakv-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: url) }
        try Data("{}".utf8).write(to: url.appendingPathComponent("config.json"))
        try Data([2, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8)).write(to: url.appendingPathComponent("model.safetensors"))
        if let generation {
            try Data(generation.utf8).write(to: url.appendingPathComponent("generation_config.json"))
        }
        return try body(url.path)
    }

    private func advice(_ generation: String?) throws -> SamplingAdvice {
        try withFolder(generation) { try SamplingAdvice(ModelFile(path: $0)) }
    }

    /// A GGUF file with nothing but numbers.
    private func file(_ floats: [String: Float], _ integers: [String: Int32]) throws -> SamplingAdvice {
        var bytes = Array("GGUF".utf8)
        func append<Value: FixedWidthInteger>(_ value: Value) {
            withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
        }
        func append(_ key: String, type: UInt32, bits: UInt32) {
            append(UInt64(key.utf8.count))
            bytes += key.utf8
            append(type)
            append(bits)
        }
        append(UInt32(3))
        append(UInt64(0))
        append(UInt64(floats.count + integers.count))
        for (key, value) in floats { append(key, type: 6, bits: value.bitPattern) }
        for (key, value) in integers { append(key, type: 5, bits: UInt32(bitPattern: value)) }
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("deltakv-\(UUID().uuidString).gguf")
        defer { try? FileManager.default.removeItem(at: url) }
        try Data(bytes).write(to: url)
        return try SamplingAdvice(ModelFile(path: url.path))
    }

    @Test func aFoldersAdviceIsWhatVLLMTakes() throws {
        // As Qwen 2.5 has it, and more that is not for sampling.
        let found = try advice(
            #"""
            {"bos_token_id": 1, "pad_token_id": 1, "do_sample": true, "eos_token_id": [2, 1], "repetition_penalty": 1.05,
             "temperature": 0.7, "top_p": 0.8, "top_k": 20, "min_p": null, "max_new_tokens": 2048}
            """#)
        #expect(found.values == ["repetition_penalty": 1.05, "temperature": 0.7, "top_p": 0.8, "top_k": 20])
        var expected = JobOptions()
        (expected.repetitionPenalty, expected.temperature, expected.topP, expected.topK) = (1.05, 0.7, 0.8, 20)
        #expect(found.options == expected)
        #expect(try advice(nil).options == JobOptions() && advice("{}").values.isEmpty)
        #expect(try advice(#"{"top_k": -1}"#).options.topK == 0)
        #expect(try advice(#"{"top_k": 1e300}"#).options.topK == Int.max)
    }

    @Test func aFilesAdviceHasTheSameNames() throws {
        let found = try file(
            [
                "general.sampling.temp": 0.6, "general.sampling.top_p": 0.95, "general.sampling.min_p": 0.05,
                "general.sampling.penalty_repeat": 1.1,
            ], ["general.sampling.top_k": 40])
        #expect(
            found.values == [
                "temperature": 0.6, "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.1, "top_k": 40,
            ])
        #expect(found.options.topK == 40 && found.options.temperature == 0.6)
        #expect(throws: GGUFError.self) { try file([:], ["general.sampling.temp": 1]) }
    }

    @Test(arguments: [
        (#"{"temperature": -1}"#, "temperature"), (#"{"top_p": 7}"#, "top_p"),
        (#"{"repetition_penalty": "much"}"#, "repetition_penalty"), (#"{"top_k": 20.5}"#, "top_k"),
    ])
    func adviceThatCannotBeFollowedNamesItsFile(_ json: String, _ word: String) {
        #expect {
            try advice(json)
        } throws: {
            "\($0)".contains("generation_config.json") && "\($0)".contains(word) && "\($0)".contains("none")
        }
    }

    @Test func whatAJobOrItsTemplateSaysGoesBeforeAdvice() throws {
        var job = JobOptions(), template = JobOptions()
        job.topP = 0.5
        template.temperature = 0
        let advised = try advice(#"{"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05}"#)
            .options
        let sampling = try job.over(template).over(advised).sampling(defaultSeed: 1)
        #expect(sampling == .init(temperature: 0, topK: 20, topP: 0.5, repetitionPenalty: 1.05, seed: 1))
    }

    @Test func adviceIsPartOfAModelsDescription() throws {
        try withFolder(#"{"temperature": 0.7, "top_k": 20}"#) { path in
            let text = try ModelDescription(path: path).text
            #expect(text.contains("its makers advise temperature 0.7, top_k 20"))
        }
        try withFolder(#"{"temperature": -3}"#) { path in
            let found = try ModelDescription(path: path)
            #expect(found.advisedSampling.isEmpty)
            #expect(found.unsupported.contains { $0.contains("generation_config") })
        }
    }
}
