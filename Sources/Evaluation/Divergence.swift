// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
    import Glibc
#endif

/// Sums over scored tokens how far a policy's next-token distributions are from the exact ones.
public struct Divergence: Sendable, Equatable {
    /// Scored tokens.
    public private(set) var tokens = 0
    private var loss = 0.0
    private var exactLoss = 0.0
    private var divergence = 0.0
    private var squares = 0.0
    private var agreements = 0

    /// Nothing scored yet.
    public init() {}

    /// Adds a token.
    ///
    /// - Parameters:
    ///   - logits: Under the policy.
    ///   - exact: Log-probabilities with the exact history (``logProbabilities(_:to:)``).
    ///   - target: The token that the text goes on with.
    public mutating func add(
        logits: UnsafeBufferPointer<Float>, exact: UnsafeBufferPointer<Float>, target: Int32
    ) {
        precondition(logits.count == exact.count && logits.indices.contains(Int(target)), "vocabularies differ")
        let shift = Self.logSum(logits)
        var sum = 0.0, best = 0, exactBest = 0
        for i in logits.indices {
            let log = exact[i]
            sum += Double(expf(log)) * (Double(log) - (Double(logits[i]) - shift))
            if logits[i] > logits[best] { best = i }
            if log > exact[exactBest] { exactBest = i }
        }
        tokens += 1
        loss -= Double(logits[Int(target)]) - shift
        exactLoss -= Double(exact[Int(target)])
        // Rounding may take a divergence of nothing below zero.
        divergence += max(0, sum)
        squares += sum * sum
        agreements += best == exactBest ? 1 : 0
    }

    /// Adds what another sum holds.
    public mutating func merge(_ other: Divergence) {
        tokens += other.tokens
        loss += other.loss
        exactLoss += other.exactLoss
        divergence += other.divergence
        squares += other.squares
        agreements += other.agreements
    }

    /// Perplexity under the policy.
    public var perplexity: Double { exp(loss / Double(tokens)) }
    /// Perplexity with the exact history.
    public var exactPerplexity: Double { exp(exactLoss / Double(tokens)) }
    /// Mean Kullback-Leibler divergence, exact ‖ policy, nats a token.
    public var mean: Double { divergence / Double(tokens) }
    /// Standard error of ``mean``, as if tokens were independent.
    public var standardError: Double {
        max(0, squares / Double(tokens) - mean * mean).squareRoot() / Double(tokens).squareRoot()
    }
    /// Share of tokens whose likeliest continuation is the same.
    public var agreement: Double { Double(agreements) / Double(tokens) }

    /// `log Σ exp`, in double precision.
    static func logSum(_ logits: UnsafeBufferPointer<Float>) -> Double {
        let largest = logits.max() ?? 0
        var sum = 0.0
        for value in logits { sum += Double(expf(value - largest)) }
        return Double(largest) + log(sum)
    }

    /// Writes the logarithms of the probabilities that logits stand for.
    public static func logProbabilities(_ logits: UnsafeBufferPointer<Float>, to row: UnsafeMutableBufferPointer<Float>)
    {
        let shift = logSum(logits)
        for i in logits.indices { row[i] = Float(Double(logits[i]) - shift) }
    }
}
