// SPDX-License-Identifier: Apache-2.0

import Foundation
import Tokenization

/// A token with the natural logarithm of its probability.
public struct TokenLogprob: Sendable, Equatable {
    /// The token.
    public var token: TokenID
    /// The logarithm of its probability by the model alone: before bias, penalties, temperature and constraints.
    public var logprob: Float

    /// Makes one.
    public init(token: TokenID, logprob: Float) {
        self.token = token
        self.logprob = logprob
    }
}

/// What the model thought of one generated token and of the likeliest ones in its place.
public struct TokenLogprobs: Sendable, Equatable {
    /// The token generated.
    public var chosen: TokenLogprob
    /// The likeliest tokens, likeliest first, the lower id first on a tie.
    public var top: [TokenLogprob]
}

extension TokenLogprobs {
    /// Takes the logarithms from a row of logits.
    init(of token: TokenID, top count: Int, logits: UnsafeBufferPointer<Float>) {
        let normalizer = Self.logSumExp(logits)
        func logprob(_ token: Int) -> TokenLogprob {
            TokenLogprob(token: TokenID(token), logprob: Float(Double(logits[token]) - normalizer))
        }
        chosen = logprob(Int(token))
        top = Self.largest(count, of: logits).map(logprob)
    }

    private static func logSumExp(_ logits: UnsafeBufferPointer<Float>) -> Double {
        let top = Double(logits.max() ?? 0)
        return top + log(logits.reduce(0.0) { $0 + exp(Double($1) - top) })
    }

    private static func largest(_ count: Int, of logits: UnsafeBufferPointer<Float>) -> [Int] {
        var best: [Int] = []
        for (index, value) in logits.enumerated() where count > 0 {
            if best.count == count, value <= logits[best[count - 1]] { continue }
            let place = best.firstIndex { value > logits[$0] } ?? best.count
            best.insert(index, at: place)
            if best.count > count { best.removeLast() }
        }
        return best
    }
}
