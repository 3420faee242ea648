// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
    import Glibc
#endif

/// How fast the pairs of a head turn in the rotary position embedding (Su et al., RoFormer, section 3.2.2): pair i by
/// `theta^(-2i / d)` a token, scaled as the model asks for. Computed in fp32 in the order of the reference implementation,
/// whose rounding at large positions a model has been trained with.
struct RotaryFrequencies: Sendable {
    /// Of each pair, radians a token.
    let radians: [Float]
    /// What cosines and sines are multiplied by.
    let magnitude: Float

    /// - Parameter factors: By what each pair's frequency is divided; empty: by nothing.
    init(headDimension: Int, theta: Float, scaling: RotaryScaling = .none, factors: [Float] = []) {
        let base = (0..<headDimension / 2).map { 1 / powf(theta, Float(2 * $0) / Float(headDimension)) }
        let divided = factors.isEmpty ? base : zip(base, factors).map { $0 / $1 }
        switch scaling {
        case .none:
            radians = divided
            magnitude = 1
        case .linear(let factor):
            radians = divided.map { $0 / factor }
            magnitude = 1
        case .yarn(let yarn):
            let ramp = yarn.ramp(headDimension: headDimension, theta: theta)
            radians = zip(divided, ramp).map { $0 / yarn.factor * (1 - $1) + $0 * $1 }
            magnitude = yarn.attention
        case .llama3(let llama3):
            radians = divided.map(llama3.scaled)
            magnitude = 1
        }
    }
}

extension RotaryScaling.YaRN {
    /// How much each pair keeps of its own frequency, from 1 for the highest to 0 for the lowest.
    fileprivate func ramp(headDimension: Int, theta: Float) -> [Float] {
        /// The pair, as a fraction, that turns so often within the original context.
        func pair(turns: Float) -> Double {
            let turns = max(Double(turns), 1e-6)
            return Double(headDimension) * log(Double(originalContext) / (turns * 2 * .pi)) / (2 * log(Double(theta)))
        }
        let first = max(0, pair(turns: betaFast).rounded(.down))
        var last = min(Double(headDimension - 1), pair(turns: betaSlow).rounded(.up))
        if first == last { last += 0.001 }
        return (0..<headDimension / 2).map { 1 - Float(max(0, min(1, (Double($0) - first) / (last - first)))) }
    }
}

extension RotaryScaling.Llama3 {
    /// The frequency, in radians a token, that takes the place of another.
    fileprivate func scaled(_ radians: Float) -> Float {
        let wavelength = 2 * Float.pi / radians, original = Float(originalContext)
        if wavelength > original / lowFrequency { return radians / factor }
        if wavelength < original / highFrequency { return radians }
        let share = (original / wavelength - lowFrequency) / (highFrequency - lowFrequency)
        return (1 - share) * radians / factor + share * radians
    }
}

/// The natural logarithm.
func logarithm(_ value: Float) -> Float { logf(value) }
