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
    ///   - logits: One value for each token of the vocabulary; negative infinity bars a token.
    ///   - parameters: Validated parameters; penalties and bias are already in the logits.
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

    private typealias Lanes = SIMD16<Float>

    /// The index of the largest value, the lowest such index on a tie.
    ///
    /// First the value, then where it is: the whole batch waits for this, and so it takes many values at once.
    private static func argmax(_ logits: UnsafeBufferPointer<Float>) throws(GenerationError) -> Int {
        let best = try largest(of: logits), whole = logits.count / Lanes.scalarCount * Lanes.scalarCount
        let start =
            stride(from: 0, to: whole, by: Lanes.scalarCount).first { any(lanes(logits, at: $0) .== best) } ?? whole
        guard let index = logits[start...].firstIndex(of: best) else {
            preconditionFailure("the largest value is nowhere")
        }
        return index
    }

    /// - Throws: ``GenerationError/numericalFailure`` where there is a NaN anywhere, which means that the sequence's state is lost even
    ///   where a maximum exists, or no finite maximum.
    private static func largest(of logits: UnsafeBufferPointer<Float>) throws(GenerationError) -> Float {
        var largest = Lanes(repeating: -.infinity), areNumbers = SIMDMask<Lanes.MaskStorage>(repeating: true)
        let whole = logits.count / Lanes.scalarCount * Lanes.scalarCount, rest = logits[whole...]
        for index in stride(from: 0, to: whole, by: Lanes.scalarCount) {
            let values = lanes(logits, at: index)
            areNumbers .&= values .== values
            largest.replace(with: values, where: values .> largest)
        }
        guard all(areNumbers), !rest.contains(where: \.isNaN) else { throw .numericalFailure }
        let best = max(largest.max(), rest.max() ?? -.infinity)
        guard best.isFinite else { throw .numericalFailure }
        return best
    }

    private static func lanes(_ values: UnsafeBufferPointer<Float>, at index: Int) -> Lanes {
        UnsafeRawBufferPointer(values).loadUnaligned(fromByteOffset: index * MemoryLayout<Float>.stride, as: Lanes.self)
    }

    struct Candidate {
        var index: Int
        var weight: Double
    }

    /// The tokens that stay in the draw, with weights relative to the likeliest: in order of the vocabulary where only
    /// `minP` cuts, else likeliest first.
    static func candidates(
        _ logits: UnsafeBufferPointer<Float>, best: Int, parameters: SamplingParameters
    ) -> [Candidate] {
        let scale = 1 / Double(parameters.temperature), top = Double(logits[best])
        // Below this a token's share is under 1e-17 of the likeliest one's: no draw in Double can reach it.
        let lowest = parameters.minP > 0 ? max(-40, log(Double(parameters.minP))) : -40
        func above(_ bound: Double) -> [Candidate] {
            var kept: [Candidate] = []
            for (index, value) in logits.enumerated() {
                let exponent = (Double(value) - top) * scale
                if exponent >= bound { kept.append(Candidate(index: index, weight: exp(exponent))) }
            }
            return kept
        }
        if parameters.topK == 0, parameters.topP >= 1 { return above(lowest) }
        let total = parameters.topK > 0 ? nil : weight(of: above(lowest))
        // Sorting the likely ones is enough nearly always, and finds the same as sorting all.
        for bound in [-5.0, -10] where bound > lowest {
            if let kept = cut(above(bound), total: total, parameters) { return kept }
        }
        let all = above(lowest)
        return cut(all, total: total ?? weight(of: all), parameters) ?? sorted(all)
    }

    private static func weight(of candidates: [Candidate]) -> Double { candidates.reduce(0) { $0 + $1.weight } }

    private static func sorted(_ candidates: [Candidate]) -> [Candidate] {
        candidates.sorted { $0.weight != $1.weight ? $0.weight > $1.weight : $0.index < $1.index }
    }

    /// The tokens that `topK` and `topP` leave, or nil where more tokens than these must be looked at to know.
    ///
    /// - Parameter total: The weight of all tokens; nil where it is not known, and then `topK` must bound them.
    private static func cut(
        _ candidates: [Candidate], total: Double?, _ parameters: SamplingParameters
    ) -> [Candidate]? {
        let isBounded = parameters.topK > 0 && candidates.count >= parameters.topK
        guard isBounded || total != nil else { return nil }
        var kept = sorted(candidates)
        if parameters.topK > 0, kept.count > parameters.topK { kept.removeLast(kept.count - parameters.topK) }
        guard parameters.topP < 1 else { return isBounded ? kept : nil }
        let whole = parameters.topK > 0 ? weight(of: kept) : total ?? 0
        let goal = Double(parameters.topP) * whole
        var sum = 0.0
        for (position, candidate) in kept.enumerated() {
            sum += candidate.weight
            if sum >= goal { return Array(kept[...position]) }
        }
        return isBounded ? kept : nil
    }

    private static func draw(from candidates: [Candidate], uniform: Double) -> Int {
        let goal = uniform * weight(of: candidates)
        var sum = 0.0
        for candidate in candidates {
            sum += candidate.weight
            if sum > goal { return candidate.index }
        }
        return candidates[candidates.count - 1].index
    }
}
