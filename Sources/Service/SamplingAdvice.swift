// SPDX-License-Identifier: Apache-2.0

import Engine
import ModelFiles

/// What a model's makers advise for sampling, for jobs that say nothing else: `generation_config.json` of a folder, as vLLM
/// takes it, or the keys `general.sampling.…` of a GGUF file.
///
/// Tokens that end a text are the tokenizer's matter, and limits the jobs': `max_new_tokens` is passed over.
public struct SamplingAdvice: Sendable, Equatable {
    /// The values by the names of options; others than these are not advised.
    public let values: [String: Double]
    /// The values as options.
    public let options: JobOptions

    /// Options with their keys in GGUF.
    private static let names = [
        "temperature": "temp", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p",
        "repetition_penalty": "penalty_repeat",
    ]

    /// Reads the advice in a model's files; without any there are no values.
    ///
    /// - Throws: ``SamplingAdviceError`` for a value that no job could ask for, `GGUFError` for one of another type.
    public init(_ model: ModelFile) throws {
        let source: String
        switch model {
        case .gguf(let file):
            source = file.path
            values = try Self.values(of: file.metadata)
        case .folder(let folder):
            source = folder.path + "/generation_config.json"
            values = try Self.values(of: folder.generation(), source)
        }
        options = JobOptions(advised: values)
        do {
            try options.validate()
        } catch {
            throw SamplingAdviceError(source, error.message)
        }
    }

    private static func values(of keys: GGUFMetadata) throws -> [String: Double] {
        var values: [String: Double] = [:]
        for (option, name) in names {
            let key = "general.sampling." + name
            // The shortest decimal number that is the one stored: 0.7 is 0.7 in double precision too.
            values[option] =
                option == "top_k"
                ? try keys.intIfPresent(key).map(Double.init)
                : try keys.floatIfPresent(key).flatMap { Double($0.description) }
        }
        return values
    }

    private static func values(of json: JSONValue?, _ source: String) throws -> [String: Double] {
        var values: [String: Double] = [:]
        for option in names.keys {
            switch json?[option] {
            case nil, .null?: continue
            case let value?:
                guard let number = value.double else { throw SamplingAdviceError(source, "\(option) is not a number") }
                guard option != "top_k" || number == number.rounded() else {
                    throw SamplingAdviceError(source, "top_k is not a whole number")
                }
                values[option] = number
            }
        }
        return values
    }
}

extension JobOptions {
    fileprivate init(advised values: [String: Double]) {
        self.init()
        func value(_ name: String) -> Float? { values[name].map { Float($0) } }
        temperature = value("temperature")
        // Files say 0 or -1 for all tokens.
        topK = values["top_k"].map { $0 <= 0 ? 0 : Int(exactly: $0) ?? Int.max }
        topP = value("top_p")
        minP = value("min_p")
        repetitionPenalty = value("repetition_penalty")
    }
}

/// Why the advice in a model's files cannot be followed.
public struct SamplingAdviceError: Error, CustomStringConvertible {
    /// What is wrong, where, and what to do.
    public let description: String

    init(_ source: String, _ reason: String) {
        description = "\(source): \(reason); correct it, or set generation_config to none to leave it aside"
    }
}
