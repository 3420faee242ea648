// SPDX-License-Identifier: Apache-2.0

import Engine

/// What a template or a job may say about sampling and limits. Absent values leave the choice to the other.
///
/// The same names serve in a template's `options:` and in the `options` argument of `deltakv.submit`.
public struct JobOptions: Sendable, Equatable, Codable {
    /// The most tokens to generate.
    public var maxTokens: Int?
    /// Divides the logits; 0 is greedy decoding.
    public var temperature: Float?
    /// How many of the likeliest tokens stay in the draw; 0 is all.
    public var topK: Int?
    /// The share of probability that stays in the draw.
    public var topP: Float?
    /// Starts the random numbers; the job's id if absent.
    public var seed: Int?
    /// Texts that end the output.
    public var stop: [String]?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case maxTokens = "max_tokens"
        case temperature
        case topK = "top_k"
        case topP = "top_p"
        case seed
        case stop
    }

    static let defaultMaxTokens = 256

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
            } catch {
                throw JobFault(.invalidOptions, "option '\(key.rawValue)' must be \(expected)")
            }
        }
        maxTokens = try value(.maxTokens, "a whole number")
        temperature = try value(.temperature, "a number")
        topK = try value(.topK, "a whole number")
        topP = try value(.topP, "a number")
        seed = try value(.seed, "a whole number")
        stop = try value(.stop, "a list of texts")
    }

    /// These options where they say something, others where they do not.
    public func over(_ defaults: JobOptions) -> JobOptions {
        var merged = self
        merged.maxTokens = maxTokens ?? defaults.maxTokens
        merged.temperature = temperature ?? defaults.temperature
        merged.topK = topK ?? defaults.topK
        merged.topP = topP ?? defaults.topP
        merged.seed = seed ?? defaults.seed
        merged.stop = stop ?? defaults.stop
        return merged
    }

    /// Checks the ranges.
    public func validate() throws(JobFault) {
        if let maxTokens, maxTokens < 1 {
            throw JobFault(.invalidOptions, "max_tokens must be at least 1, not \(maxTokens)")
        }
        if let stop {
            guard stop.count <= 16, stop.allSatisfy({ !$0.isEmpty && $0.utf8.count <= 1024 }) else {
                throw JobFault(.invalidOptions, "stop takes at most 16 texts of 1 to 1,024 bytes")
            }
        }
        do {
            try sampling(defaultSeed: 0).validate()
        } catch {
            throw JobFault(error)
        }
    }

    /// The sampling these options describe.
    func sampling(defaultSeed: Int) -> SamplingParameters {
        SamplingParameters(
            temperature: temperature ?? 0, topK: topK ?? 0, topP: topP ?? 1,
            seed: UInt64(bitPattern: Int64(seed ?? defaultSeed)))
    }
}

/// Any name, to list the names that a document really has.
struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}
