// SPDX-License-Identifier: Apache-2.0

/// Texts in which everything is said twice: runs of tokens that do not follow from each other, then the same runs in another
/// order. To predict the second half a model must find each run again, token by token.
///
/// Prose seldom needs that, so a codec calibrated on prose alone spends few bits on the keys and values of the heads that do
/// it, and hidden codes and names are the first that it loses. On the default model such pieces close about half of the distance
/// to exact in the likelihood of hidden keys, at slightly fewer bytes (`ops/bench/RESULTS.md`).
public enum RecallPieces {
    /// Tokens of a piece: as many as calibration looks at the attention of.
    static let length = CalibrationCapture.window

    /// As many pieces as there are texts, but no more than eight: texts and pieces then weigh about the same. None for texts
    /// that are too little for calibration by themselves.
    public static func make(from texts: [[Int32]]) -> [[Int32]] {
        let isEnough = texts.reduce(0) { $0 + $1.count } >= Calibration.leastTokens
        return isEnough ? make(min(8, texts.count), from: texts) : []
    }

    /// Pieces made of the tokens of given texts, whatever their language; the same every time.
    ///
    /// Tokens are drawn from all that occur, the rare as often as the common: codes and names are made of rare ones.
    static func make(_ count: Int, from texts: [[Int32]]) -> [[Int32]] {
        let vocabulary = Set(texts.joined()).sorted()
        guard vocabulary.count > 1 else { return [] }
        var state: UInt64 = 1
        func below(_ bound: Int) -> Int {
            // Knuth's linear congruential generator; its upper bits are random enough.
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        return (0..<count).map { _ in
            var runs: [[Int32]] = [], tokens = 0
            while tokens < length / 2 {
                let run = (0..<6 + below(9)).map { _ in vocabulary[below(vocabulary.count)] }
                runs.append(run)
                tokens += run.count
            }
            var again = runs
            for i in stride(from: again.count - 1, to: 0, by: -1) { again.swapAt(i, below(i + 1)) }
            return Array((runs + again).joined().prefix(length))
        }
    }
}
