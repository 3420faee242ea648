// SPDX-License-Identifier: Apache-2.0

import Engine
import Foundation
import Tokenization

/// One output as results and `deltakv generate` show it in JSON.
public struct ChoiceRecord: Encodable {
    struct Entry: Encodable {
        let token: String
        let id: TokenID
        let logprob: Float

        init(_ logprob: TokenLogprob, _ tokenizer: Tokenizer) {
            token = String(decoding: tokenizer.bytes(of: logprob.token), as: UTF8.self)
            id = logprob.token
            self.logprob = logprob.logprob
        }
    }

    struct Place: Encodable {
        let token: String
        let id: TokenID
        let logprob: Float
        let top: [Entry]
    }

    let index: Int
    let text: String
    let finishReason: String
    let logprobs: [Place]?

    enum CodingKeys: String, CodingKey {
        case index, text
        case finishReason = "finish_reason"
        case logprobs
    }

    /// Makes the record of the i-th output.
    public init(_ choice: GenerationChoice, index: Int, tokenizer: Tokenizer) {
        self.index = index
        text = choice.text
        finishReason = choice.finishReason.rawValue
        logprobs = choice.logprobs?.map { place in
            let chosen = Entry(place.chosen, tokenizer)
            return Place(
                token: chosen.token, id: chosen.id, logprob: chosen.logprob,
                top: place.top.map { Entry($0, tokenizer) })
        }
    }

    /// The outputs of a request that asked for several, or for log-probabilities, as a JSON list; nil for any other, whose
    /// text says all.
    public static func json(of generation: Generation, tokenizer: Tokenizer) -> String? {
        guard generation.choices.count > 1 || generation.choices[0].logprobs != nil else { return nil }
        let records = generation.choices.enumerated().map { ChoiceRecord($1, index: $0, tokenizer: tokenizer) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Logarithms of probabilities that are 0 in single precision are infinite, which JSON cannot say.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return (try? encoder.encode(records)).map { String(decoding: $0, as: UTF8.self) }
    }
}
