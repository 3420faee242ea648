// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Service

/// How tokens are chosen and when the output ends; the names are those of a job's options.
struct SamplingOptions: ParsableArguments {
    @Flag(help: "Always take the likeliest token.")
    var greedy = false

    @Option(help: ArgumentHelp("The most tokens to generate (256).", valueName: "n"))
    var maxTokens: Int?

    @Option(help: ArgumentHelp("The least number of tokens to generate.", valueName: "n"))
    var minTokens: Int?

    @Option(help: "Divides the logits; 0 is greedy. As the model's makers advise, else 0.7.")
    var temperature: Float?

    @Option(help: "How many of the likeliest tokens stay in the draw; 0 is all.")
    var topK: Int?

    @Option(help: "The share of probability that stays in the draw. As the makers advise, else 0.95.")
    var topP: Float?

    @Option(help: "How likely a token in the draw must be, as a share of the likeliest one's probability.")
    var minP: Float?

    @Option(help: "Divides the logits of tokens in prompt and output; 1 changes nothing.")
    var repetitionPenalty: Float?

    @Option(help: "Is taken from the logits of tokens in the output.")
    var presencePenalty: Float?

    @Option(help: "Is taken from the logits of tokens in the output once for each time.")
    var frequencyPenalty: Float?

    @Option(
        help: ArgumentHelp(
            "Adds to a token's logit, such as 17=-100; may be given several times.", valueName: "token=value"))
    var logitBias: [String] = []

    @Option(help: "Starts the random numbers.")
    var seed: Int = 0

    @Option(help: ArgumentHelp("A text that ends the output; may be given several times.", valueName: "text"))
    var stop: [String] = []

    @Option(help: ArgumentHelp("A token that ends the output; may be given several times.", valueName: "token"))
    var stopTokenId: [Int] = []

    @Option(name: [.customShort("n"), .customLong("n")], help: "How many outputs to generate.")
    var samples: Int?

    @Option(
        help: ArgumentHelp("Show log-probabilities, of the chosen tokens and the n likeliest ones.", valueName: "n"))
    var logprobs: Int?

    @Option(
        help: ArgumentHelp(
            "A JSON schema that the output must satisfy, or @ and the name of a file with one.", valueName: "schema"))
    var jsonSchema: String?

    @Option(
        help: ArgumentHelp(
            "Tools that the model may call, a JSON list as OpenAI's API has them, or @ and a file's name.",
            valueName: "tools"))
    var tools: String?

    @Option(
        help: ArgumentHelp(
            "Variables of the model's chat template, such as {\"enable_thinking\": false}, or @ and a file's name.",
            valueName: "object"))
    var chatTemplateKwargs: String?

    /// What holds where neither the flags nor the model's makers say how to draw.
    private static let unadvised: JobOptions = {
        var options = JobOptions()
        options.temperature = 0.7
        options.topP = 0.95
        return options
    }()

    /// The options as a job would have them.
    ///
    /// - Parameter advised: What the model's makers advise.
    /// - Throws: `ValidationError` or `JobFault` that says which is wrong.
    func jobOptions(advised: JobOptions) throws -> JobOptions {
        var options = JobOptions()
        options.maxTokens = maxTokens
        options.minTokens = minTokens
        options.temperature = greedy ? 0 : temperature
        options.topK = topK
        options.topP = topP
        options.minP = minP
        options.repetitionPenalty = repetitionPenalty
        options.presencePenalty = presencePenalty
        options.frequencyPenalty = frequencyPenalty
        options.logitBias = try bias()
        options.seed = seed
        options.stop = stop.isEmpty ? nil : stop
        options.stopTokenIDs = stopTokenId.isEmpty ? nil : stopTokenId
        options.samples = samples
        options.logprobs = logprobs
        options.jsonSchema = try Self.text(jsonSchema).map(SchemaText.init)
        options.tools = try Self.text(tools).map(ToolList.init(json:))
        options.templateSettings = try Self.text(chatTemplateKwargs).map(TemplateSettings.init(json:))
        try options.validate()
        return options.over(advised.temperature == nil ? advised.over(Self.unadvised) : advised)
    }

    private func bias() throws -> [String: Float] {
        var bias: [String: Float] = [:]
        for entry in logitBias {
            let parts = entry.split(separator: "=")
            guard parts.count == 2, let value = Float(parts[1]) else {
                throw ValidationError("--logit-bias takes a token and a number, such as 17=-100, not '\(entry)'")
            }
            bias[String(parts[0])] = value
        }
        return bias
    }

    /// An argument, or the text of the file that it names.
    private static func text(_ argument: String?) throws -> String? {
        guard let argument, argument.hasPrefix("@") else { return argument }
        let path = String(argument.dropFirst())
        guard let data = FileManager.default.contents(atPath: path), let text = String(validating: data, as: UTF8.self)
        else {
            throw ValidationError("the file '\(path)' cannot be read as UTF-8 text")
        }
        return text
    }
}
