// SPDX-License-Identifier: Apache-2.0

import Engine
import StructuredOutput
import Tokenization

/// What a template or a job may say about sampling and limits. Absent values leave the choice to the other.
///
/// The same names serve in a template's `options:` and in the `options` argument of `deltakv.submit`; they are vLLM's.
public struct JobOptions: Sendable, Equatable, Decodable {
    /// The most tokens to generate.
    public var maxTokens: Int?
    /// The least number of tokens to generate.
    public var minTokens: Int?
    /// Divides the logits; 0 is greedy decoding.
    public var temperature: Float?
    /// How many of the likeliest tokens stay in the draw; 0 is all.
    public var topK: Int?
    /// The share of probability that stays in the draw.
    public var topP: Float?
    /// How likely a token in the draw must be, as a share of the likeliest one's probability.
    public var minP: Float?
    /// Makes tokens of prompt and output less likely where it is above 1.
    public var repetitionPenalty: Float?
    /// Is taken from the logits of tokens in the output.
    public var presencePenalty: Float?
    /// Is taken from the logits of tokens in the output once for each time.
    public var frequencyPenalty: Float?
    /// Is added to the logits of tokens, by their numbers.
    public var logitBias: [String: Float]?
    /// Starts the random numbers; the job's id if absent.
    public var seed: Int?
    /// Texts that end the output.
    public var stop: [String]?
    /// Tokens that end the output, by their numbers.
    public var stopTokenIDs: [Int]?
    /// How many outputs to generate.
    public var samples: Int?
    /// How many of the likeliest tokens to note with their log-probabilities at each place, beside the chosen one.
    public var logprobs: Int?
    /// A JSON schema that the output must satisfy, as text.
    public var jsonSchema: SchemaText?
    /// The tools that the model's chat template is to tell it of.
    public var tools: ToolList?
    /// Further variables of the model's chat template.
    public var templateSettings: TemplateSettings?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case maxTokens = "max_tokens"
        case minTokens = "min_tokens"
        case temperature
        case topK = "top_k"
        case topP = "top_p"
        case minP = "min_p"
        case repetitionPenalty = "repetition_penalty"
        case presencePenalty = "presence_penalty"
        case frequencyPenalty = "frequency_penalty"
        case logitBias = "logit_bias"
        case seed
        case stop
        case stopTokenIDs = "stop_token_ids"
        case samples = "n"
        case logprobs
        case jsonSchema = "json_schema"
        case tools
        case templateSettings = "chat_template_kwargs"
    }

    static let defaultMaxTokens = 256

    /// The options' names, as jobs write them.
    public static let names = CodingKeys.allCases.map(\.rawValue)

    /// Options that leave everything open.
    public init() {}

    /// Reads options strictly: a name that is not known is an error, since a misspelt limit must not pass unseen.
    public init(from decoder: any Decoder) throws {
        let names = try decoder.container(keyedBy: AnyKey.self).allKeys.map(\.stringValue)
        if let unknown = names.sorted().first(where: { CodingKeys(rawValue: $0) == nil }) {
            let known = CodingKeys.allCases.map(\.rawValue).joined(separator: ", ")
            throw JobFault(.invalidOptions, "there is no option '\(unknown)': the options are \(known)")
        }
        let values = try decoder.container(keyedBy: CodingKeys.self)
        func value<Value: Decodable>(_ key: CodingKeys, _ expected: String) throws -> Value? {
            do {
                return try values.decodeIfPresent(Value.self, forKey: key)
            } catch let fault as JobFault {
                throw fault
            } catch {
                throw JobFault(.invalidOptions, "option '\(key.rawValue)' must be \(expected)")
            }
        }
        maxTokens = try value(.maxTokens, "a whole number")
        minTokens = try value(.minTokens, "a whole number")
        temperature = try value(.temperature, "a number")
        topK = try value(.topK, "a whole number")
        topP = try value(.topP, "a number")
        minP = try value(.minP, "a number")
        repetitionPenalty = try value(.repetitionPenalty, "a number")
        presencePenalty = try value(.presencePenalty, "a number")
        frequencyPenalty = try value(.frequencyPenalty, "a number")
        logitBias = try value(.logitBias, "an object of numbers by token, such as {\"17\": -100}")
        seed = try value(.seed, "a whole number")
        stop = try value(.stop, "a list of texts")
        stopTokenIDs = try value(.stopTokenIDs, "a list of whole numbers")
        samples = try value(.samples, "a whole number")
        logprobs = try value(.logprobs, "a whole number")
        jsonSchema = try value(.jsonSchema, "a JSON schema, or a text that holds one")
        tools = try value(.tools, "a list of tools, or a text that holds one")
        templateSettings = try value(.templateSettings, "an object")
    }

    /// These options where they say something, others where they do not.
    public func over(_ defaults: JobOptions) -> JobOptions {
        var merged = self
        func take<Value>(_ path: WritableKeyPath<JobOptions, Value?>) {
            merged[keyPath: path] = self[keyPath: path] ?? defaults[keyPath: path]
        }
        take(\.maxTokens)
        take(\.minTokens)
        take(\.temperature)
        take(\.topK)
        take(\.topP)
        take(\.minP)
        take(\.repetitionPenalty)
        take(\.presencePenalty)
        take(\.frequencyPenalty)
        take(\.logitBias)
        take(\.seed)
        take(\.stop)
        take(\.stopTokenIDs)
        take(\.samples)
        take(\.logprobs)
        take(\.jsonSchema)
        take(\.tools)
        take(\.templateSettings)
        return merged
    }
}

/// Any name, to list the names that a document really has.
struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}
