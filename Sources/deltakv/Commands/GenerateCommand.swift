// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Engine
import Foundation
import Service
import Tokenization

/// `deltakv generate`: one prompt, its text on standard output as it comes.
struct GenerateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Continue one prompt and print the text.")

    @OptionGroup var settings: SettingsOptions

    @Flag(help: "Take the prompt as it is, without the model's chat template.")
    var raw = false

    @Flag(help: "Always take the likeliest token.")
    var greedy = false

    @Option(help: ArgumentHelp("The most tokens to generate.", valueName: "n"))
    var maxTokens = 256

    @Option(help: "Divides the logits; 0 is greedy.")
    var temperature: Float = 0.7

    @Option(help: "How many of the likeliest tokens stay in the draw; 0 is all.")
    var topK = 0

    @Option(help: "The share of probability that stays in the draw.")
    var topP: Float = 0.95

    @Option(help: "Starts the random numbers.")
    var seed: UInt64 = 0

    @Option(help: ArgumentHelp("A text that ends the output; may be given several times.", valueName: "text"))
    var stop: [String] = []

    @Argument(help: "The prompt; - reads it from standard input.")
    var prompt: String

    func run() async throws {
        let settings = try await settings.load()
        let text = prompt == "-" ? try standardInput() : prompt
        let loaded = try settings.loadModel()
        let request = GenerationRequest(
            prompt: try tokens(of: text, for: loaded), maxTokens: maxTokens,
            sampling: greedy
                ? .greedy : SamplingParameters(temperature: temperature, topK: topK, topP: topP, seed: seed),
            stopStrings: stop)
        let engine = try loaded.engine(settings.engine)
        defer { engine.stop() }
        _ = try await engine.generate(request) { FileHandle.standardOutput.write(Data($0.utf8)) }
        print()
    }

    private func tokens(of text: String, for loaded: LoadedModel) throws -> [TokenID] {
        let tokenizer = loaded.tokenizer
        guard raw else {
            return try tokenizer.encode(loaded.chatTemplate.render([ChatMessage(role: .user, content: text)]))
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
