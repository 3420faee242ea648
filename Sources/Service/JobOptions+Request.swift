// SPDX-License-Identifier: Apache-2.0

import Engine
import StructuredOutput
import Tokenization

extension JobOptions {
    /// Checks the ranges, as far as they do not depend on the model.
    public func validate() throws(JobFault) {
        if let maxTokens, maxTokens < 1 {
            throw JobFault(.invalidOptions, "max_tokens must be at least 1, not \(maxTokens)")
        }
        if let stop {
            guard stop.count <= 16, stop.allSatisfy({ !$0.isEmpty && $0.utf8.count <= 1024 }) else {
                throw JobFault(.invalidOptions, "stop takes at most 16 texts of 1 to 1,024 bytes")
            }
        }
        guard stopTokenIDs?.count ?? 0 <= 1024 else {
            throw JobFault(.invalidOptions, "stop_token_ids takes at most 1,024 tokens")
        }
        do {
            try sampling(defaultSeed: 0).validate()
        } catch let error as GenerationError {
            throw JobFault(error)
        } catch let fault as JobFault {
            throw fault
        } catch {
            throw JobFault(.invalidOptions, "\(error)")
        }
        guard let jsonSchema else { return }
        do {
            try JSONConstraint.check(schema: jsonSchema.text)
        } catch {
            throw JobFault(.invalidOptions, "json_schema: \(error)")
        }
    }

    /// The sampling these options describe.
    ///
    /// - Throws: ``JobFault`` where a token of `logit_bias` is no number.
    func sampling(defaultSeed: Int) throws(JobFault) -> SamplingParameters {
        var bias: [TokenID: Float] = [:]
        for (name, value) in logitBias ?? [:] {
            guard let token = TokenID(name) else {
                throw JobFault(.invalidOptions, "logit_bias names tokens by their numbers, not '\(name)'")
            }
            bias[token] = value
        }
        return SamplingParameters(
            temperature: temperature ?? 0, topK: topK ?? 0, topP: topP ?? 1, minP: minP ?? 0,
            repetitionPenalty: repetitionPenalty ?? 1, presencePenalty: presencePenalty ?? 0,
            frequencyPenalty: frequencyPenalty ?? 0, logitBias: bias,
            seed: UInt64(bitPattern: Int64(seed ?? defaultSeed)))
    }

    /// The request these options describe.
    ///
    /// - Parameters:
    ///   - prompt: The prompt's tokens.
    ///   - defaultSeed: Starts the random numbers where no option does.
    ///   - constraints: What was made of schemas.
    /// - Throws: ``JobFault`` where an option cannot be met.
    public func request(
        prompt: [TokenID], defaultSeed: Int, constraints: ConstraintLibrary
    ) throws(JobFault) -> GenerationRequest {
        var stops: Set<TokenID> = []
        for token in stopTokenIDs ?? [] {
            guard let id = TokenID(exactly: token) else {
                throw JobFault(.invalidOptions, "token \(token) is not in the model's vocabulary")
            }
            stops.insert(id)
        }
        var request = GenerationRequest(
            prompt: prompt, maxTokens: maxTokens ?? Self.defaultMaxTokens,
            sampling: try sampling(defaultSeed: defaultSeed), stopStrings: stop ?? [], stopTokens: stops,
            minTokens: minTokens ?? 0, logprobs: logprobs, samples: samples ?? 1)
        guard let jsonSchema else { return request }
        do {
            request.constraint = try constraints.constraint(for: jsonSchema.text)
        } catch {
            throw JobFault(.invalidOptions, "json_schema: \(error)")
        }
        return request
    }
}
