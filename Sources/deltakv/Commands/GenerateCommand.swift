// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Engine
import Foundation
import Service
import Tokenization

/// `deltakv generate`: one prompt, its text on standard output as it comes.
struct GenerateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Continue one prompt and print the text.",
        discussion: "With --n or --logprobs it prints all outputs as a JSON list once they are there.")

    @OptionGroup var settings: SettingsOptions

    @OptionGroup var policy: PolicyOption

    @OptionGroup(title: "Sampling") var sampling: SamplingOptions

    @Flag(help: "Take the prompt as it is, without the model's chat template.")
    var raw = false

    @Argument(help: "The prompt; - reads it from standard input.")
    var prompt: String

    func run() async throws {
        let settings = try await settings.load(more: [.kvPolicy: policy.policy])
        let text = prompt == "-" ? try standardInput() : prompt
        // A flag that is wrong is not to wait for the model.
        _ = try sampling.jobOptions(advised: JobOptions())
        let loaded = try settings.loadModel()
        let options = try sampling.jobOptions(advised: loaded.advised)
        let request = try options.request(
            prompt: try tokens(of: text, options, for: loaded), defaultSeed: 0,
            constraints: ConstraintLibrary(loaded.tokenizer))
        let engine = try await settings.startEngine(loaded, cache: .readAndWrite)
        defer { engine.stop() }
        let isList = request.samples > 1 || request.logprobs != nil
        let generation = try await engine.generate(request) { piece in
            if !isList { FileHandle.standardOutput.write(Data(piece.text.utf8)) }
        }
        await engine.flush()
        print(ChoiceRecord.json(of: generation, tokenizer: loaded.tokenizer) ?? "")
    }

    private func tokens(of text: String, _ options: JobOptions, for loaded: LoadedModel) throws -> [TokenID] {
        let tokenizer = loaded.tokenizer
        guard raw else {
            let message = ChatMessage(role: .user, content: text)
            return try tokenizer.encode(loaded.chatTemplate().render([message], options))
        }
        // A chat template puts the beginning of text itself, where the model has one.
        return [tokenizer.beginningOfText].compactMap { $0 } + tokenizer.encode(text)
    }

    private func standardInput() throws -> String {
        let data = try FileHandle.standardInput.readToEnd() ?? Data()
        guard let text = String(validating: data, as: UTF8.self) else {
            throw ValidationError("standard input is not valid UTF-8")
        }
        return text
    }
}
