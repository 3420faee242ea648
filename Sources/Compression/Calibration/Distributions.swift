// SPDX-License-Identifier: Apache-2.0
import Glibc
import Kernels

/// What a model says about the next token after some of a text's tokens.
struct Distributions {
    /// Every so many tokens are looked at; their neighbours tell much the same.
    static let every = 4

    /// Of each token: log-probabilities, [vocabulary].
    private let logarithms: [[Float]]

    /// Of tokens' logits, [tokens][vocabulary].
    init(logits: [[Float]], on pool: ThreadPool) {
        var rows = logits
        rows.withUnsafeMutableBufferPointer { rows in
            nonisolated(unsafe) let rows = rows
            pool.run(count: rows.count) { token in
                let greatest = rows[token].reduce(-Float.infinity) { max($0, $1) }
                let sum = rows[token].reduce(0.0) { $0 + Double(expf($1 - greatest)) }
                let normaliser = greatest + Float(log(sum))
                for i in rows[token].indices { rows[token][i] -= normaliser }
            }
        }
        logarithms = rows
    }

    /// Mean Kullback-Leibler divergence from the exact ones, in nats; never negative.
    func divergence(from exact: Distributions, on pool: ThreadPool) -> Double {
        precondition(exact.logarithms.count == logarithms.count, "distributions of other tokens")
        var sums = Array(repeating: 0.0, count: logarithms.count)
        sums.withUnsafeMutableBufferPointer { sums in
            nonisolated(unsafe) let sums = sums
            pool.run(count: sums.count) { token in
                for (p, q) in zip(exact.logarithms[token], logarithms[token]) where p > -20 {
                    sums[token] += Double(expf(p) * (p - q))
                }
            }
        }
        return max(0, sums.reduce(0, +) / Double(max(1, sums.count)))
    }
}
