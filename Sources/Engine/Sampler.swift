// SPDX-License-Identifier: Apache-2.0

import Foundation
import Tokenization

/// Chooses the next token from a row of logits.
///
/// A choice depends on the logits, the parameters and the token's position in the output alone, never on what else is
/// in the batch: each position has random numbers of its own, derived from the seed.
enum Sampler {
    /// Chooses a token.
    ///
    /// - Parameters:
    ///   - logits: One value for each token of the vocabulary.
    ///   - parameters: Validated parameters.
    ///   - step: The number of tokens generated before this one.
    /// - Throws: ``GenerationError/numericalFailure`` if the logits hold no finite maximum.
    static func choose(
        from logits: UnsafeBufferPointer<Float>, parameters: SamplingParameters, step: Int
    ) throws(GenerationError) -> TokenID {
        let best = try argmax(logits)
        guard parameters.temperature > 0 else { return TokenID(best) }
        var generator = SplitMix64(seed: parameters.seed, stream: UInt64(step))
        let candidates = candidates(logits, best: best, parameters: parameters)
        return TokenID(draw(from: candidates, uniform: generator.nextUnit()))
    }

    /// The index of the largest value, the lowest such index on a tie.
    private static func argmax(_ logits: UnsafeBufferPointer<Float>) throws(GenerationError) -> Int {
        var best = 0
        var bestValue = -Float.infinity
        for (index, value) in logits.enumerated() {
            // A NaN anywhere means the sequence's state is lost, even where a maximum exists.
            guard !value.isNaN else { throw .numericalFailure }
            if value > bestValue { (best, bestValue) = (index, value) }
        }
        guard bestValue.isFinite else { throw .numericalFailure }
        return best
    }

    private struct Candidate {
        var index: Int
        var weight: Double
    }

    /// The tokens that stay in the draw, likeliest first, with weights relative to the likeliest.
    private static func candidates(
        _ logits: UnsafeBufferPointer<Float>, best: Int, parameters: SamplingParameters
    ) -> [Candidate] {
        let scale = 1 / Double(parameters.temperature)
        let top = Double(logits[best])
        var kept: [Candidate] = []
        for (index, value) in logits.enumerated() {
            let exponent = (Double(value) - top) * scale
            // Below this a token's share is under 1e-17 of the likeliest one's: no draw in Double can reach it.
            if exponent > -40 { kept.append(Candidate(index: index, weight: exp(exponent))) }
        }
        kept.sort { $0.weight != $1.weight ? $0.weight > $1.weight : $0.index < $1.index }
        if parameters.topK > 0, kept.count > parameters.topK { kept.removeLast(kept.count - parameters.topK) }
        if parameters.topP < 1 { keepShare(Double(parameters.topP), of: &kept) }
        return kept
    }

    private static func keepShare(_ share: Double, of kept: inout [Candidate]) {
        let goal = share * kept.reduce(0) { $0 + $1.weight }
        var sum = 0.0
        for (position, candidate) in kept.enumerated() {
            sum += candidate.weight
            if sum >= goal {
                kept.removeLast(kept.count - position - 1)
                return
            }
        }
    }

    private static func draw(from candidates: [Candidate], uniform: Double) -> Int {
        let goal = uniform * candidates.reduce(0) { $0 + $1.weight }
        var sum = 0.0
        for candidate in candidates {
            sum += candidate.weight
            if sum > goal { return candidate.index }
        }
        return candidates[candidates.count - 1].index
    }
}
