// SPDX-License-Identifier: Apache-2.0
import Glibc

/// What a model says about the next token after some of a text's tokens, kept to be compared with, or compared.
struct Distributions {
    /// Every so many tokens are looked at; their neighbours tell much the same.
    static let every = 4

    /// Of each token: log-probabilities, [vocabulary].
    private(set) var logarithms: [[Float]] = []
    private let exact: [[Float]]?
    private var sum = 0.0
    private var count = 0

    /// To be kept, or to be compared with exact ones token by token.
    init(exact: Distributions?) { self.exact = exact?.logarithms }

    /// Mean Kullback-Leibler divergence from the exact ones, in nats; never negative.
    var divergence: Double { max(0, sum / Double(max(1, count))) }

    /// Takes the next token's logits.
    mutating func add(_ logits: UnsafeBufferPointer<Float>) {
        let greatest = logits.reduce(-Float.infinity) { max($0, $1) }
        let normaliser = greatest + Float(log(logits.reduce(0.0) { $0 + Double(expf($1 - greatest)) }))
        guard let exact else {
            logarithms.append(logits.map { $0 - normaliser })
            return
        }
        var divergence = 0.0
        for (p, logit) in zip(exact[count], logits) where p > -20 {
            divergence += Double(expf(p) * (p - logit + normaliser))
        }
        sum += divergence
        count += 1
    }
}
