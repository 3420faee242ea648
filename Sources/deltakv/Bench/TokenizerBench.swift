// SPDX-License-Identifier: Apache-2.0

import Foundation
import Tokenization

/// How fast one thread turns text into tokens and back.
struct TokenizerBench {
    /// One direction's result.
    struct Row: Encodable {
        /// `encode` or `decode`.
        let direction: String
        /// Bytes of the text.
        let bytes: Int
        /// Its tokens.
        let tokens: Int
        /// Megabytes (10^6 bytes) of text a second, the best of several runs.
        let megabytesPerSecond: Double

        enum CodingKeys: String, CodingKey {
            case direction, bytes, tokens
            case megabytesPerSecond = "mb_per_second"
        }
    }

    let tokenizer: Tokenizer
    let text: String

    /// Each direction at least five times, and for at least two seconds; other work on the machine only takes away.
    func rows() -> [Row] {
        let tokens = tokenizer.encode(text)
        let encode = best { tokenizer.encode(text).count }
        let decode = best { tokenizer.decode(tokens).utf8.count }
        return [("encode", encode), ("decode", decode)].map { direction, seconds in
            Row(
                direction: direction, bytes: text.utf8.count, tokens: tokens.count,
                megabytesPerSecond: (Double(text.utf8.count) / seconds / 1e4).rounded() / 100)
        }
    }

    private func best(_ work: () -> Int) -> Double {
        var best = Double.infinity, all = 0.0, runs = 0, sum = 0
        while runs < 5 || all < 2 {
            let clock = ContinuousClock()
            let time = clock.measure { sum &+= work() }
            let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) / 1e18
            best = min(best, seconds)
            all += seconds
            runs += 1
        }
        precondition(sum >= 0, "the work was not done")
        return best
    }
}
