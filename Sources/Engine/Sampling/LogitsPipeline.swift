// SPDX-License-Identifier: Apache-2.0

import StructuredOutput
import Tokenization

/// What stands between the model's logits and a sequence's next token: the constraint, the least number of tokens, bias,
/// penalties, the draw. Knows its sequence's tokens, and nothing of any other.
struct LogitsPipeline {
    /// The next token, and what the model thought of it where that was asked for.
    struct Choice {
        var token: TokenID
        var logprobs: TokenLogprobs?
    }

    private let parameters: SamplingParameters
    private let logprobs: Int?
    private let minTokens: Int
    /// The tokens that end the output.
    private let ends: Set<TokenID>
    private let outputLimit: Int
    /// Tokens of the prompt, where they matter.
    private let prompt: Set<TokenID>
    /// How often each token was generated.
    private var counts: [TokenID: Int] = [:]
    private var step = 0
    private var constraint: ConstraintCursor?

    /// Makes the pipeline of one sample of a request.
    init(request: GenerationRequest, sample: Int, outputLimit: Int, endOfGeneration: Set<TokenID>) {
        var parameters = request.sampling
        // Sample i of many is what the single sample with seed + i would be.
        parameters.seed &+= UInt64(sample)
        self.parameters = parameters
        logprobs = request.logprobs
        minTokens = request.minTokens
        ends = endOfGeneration.union(request.stopTokens)
        self.outputLimit = outputLimit
        prompt = parameters.repetitionPenalty == 1 ? [] : Set(request.prompt)
        constraint = request.constraint.map(ConstraintCursor.init)
    }

    /// Whether the constraint is satisfied.
    var isSatisfied: Bool { constraint?.isComplete ?? true }
    /// Whether the constraint leaves nothing more to generate.
    var isFinished: Bool { constraint?.isFinished ?? false }

    /// Chooses the next token.
    ///
    /// - Throws: ``GenerationError/numericalFailure`` if the logits are no numbers.
    func choose(from logits: UnsafeBufferPointer<Float>) throws(GenerationError) -> Choice {
        let token = try chooseToken(from: logits)
        return Choice(token: token, logprobs: logprobs.map { TokenLogprobs(of: token, top: $0, logits: logits) })
    }

    private func chooseToken(from logits: UnsafeBufferPointer<Float>) throws(GenerationError) -> TokenID {
        if parameters.keepsLogits, step >= minTokens, constraint == nil {
            return try Sampler.choose(from: logits, parameters: parameters, step: step)
        }
        guard !logits.contains(where: \.isNaN) else { throw .numericalFailure }
        return try withUnsafeTemporaryAllocation(of: Float.self, capacity: logits.count) { changed in
            _ = changed.initialize(from: logits)
            apply(to: changed)
            return Result { () throws(GenerationError) in
                try Sampler.choose(from: UnsafeBufferPointer(changed), parameters: parameters, step: step)
            }
        }.get()
    }

    /// Notes the token chosen.
    mutating func accept(_ token: TokenID) {
        step += 1
        counts[token, default: 0] += 1
        constraint?.advance(token)
    }

    /// Changes a row of logits, in vLLM's order.
    func apply(to logits: UnsafeMutableBufferPointer<Float>) {
        if let constraint { constraint.restrict(logits, tokensLeft: outputLimit - step, ends: ends) }
        // A constraint that leaves only the end is not to be undone by the least number of tokens.
        if step < minTokens, constraint?.isComplete != true {
            for token in ends where logits.indices.contains(Int(token)) { logits[Int(token)] = -.infinity }
        }
        for (token, bias) in parameters.logitBias where logits.indices.contains(Int(token)) {
            logits[Int(token)] += bias
        }
        if parameters.repetitionPenalty != 1 {
            for token in prompt.union(counts.keys) {
                let value = logits[Int(token)]
                logits[Int(token)] =
                    value > 0 ? value / parameters.repetitionPenalty : value * parameters.repetitionPenalty
            }
        }
        if parameters.presencePenalty != 0 || parameters.frequencyPenalty != 0 {
            for (token, count) in counts {
                logits[Int(token)] -= parameters.frequencyPenalty * Float(count)
                logits[Int(token)] -= parameters.presencePenalty
            }
        }
    }
}
