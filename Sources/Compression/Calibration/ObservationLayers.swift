// SPDX-License-Identifier: Apache-2.0

/// Which layers should pick tokens for those after them: the choice whose picks cover most of what the others would have
/// picked themselves (dynamic programming over segments, as published for OmniKV's successors).
struct ObservationLayers {
    /// [layer][probe]: the tokens with most attention, sorted.
    private var picks: [[[Int]]]

    init(layers: Int) { picks = Array(repeating: [], count: layers) }

    /// Adds a probe: the most attended tokens of one query in one layer. All layers get the same probes in the same order.
    mutating func add(layer: Int, _ tokens: [Int]) { picks[layer].append(tokens.sorted()) }

    /// The best `count` layers, the first one being layer 0, and the share of the other layers' picks that they cover.
    func best(count: Int) -> (layers: [Int], coverage: Double) {
        let n = picks.count
        guard n > 0, count > 0, picks.allSatisfy({ $0.count == picks[0].count && !$0.isEmpty }) else { return ([0], 0) }
        let overlap = (0..<n).map { a in (0..<n).map { pair(a, $0) } }
        // best[m][t]: the best sum of layers 0..<t with m observers, and where the last of them lies.
        var best = Array(repeating: Array(repeating: (score: -1.0, last: 0), count: n + 1), count: count + 1)
        best[0][0].score = 0
        for m in 1...count {
            for end in 1...n {
                for anchor in 0..<end where best[m - 1][anchor].score >= 0 {
                    let gained = (anchor..<end).reduce(0) { $0 + overlap[anchor][$1] }
                    let score = best[m - 1][anchor].score + gained
                    if score > best[m][end].score { best[m][end] = (score, anchor) }
                }
            }
        }
        let used = (1...count).max { best[$0][n].score < best[$1][n].score } ?? 1
        var layers: [Int] = [], end = n
        for m in stride(from: used, to: 0, by: -1) {
            end = best[m][end].last
            layers.append(end)
        }
        return (layers.reversed(), best[used][n].score / Double(n))
    }

    /// The mean share of picks that two layers have in common.
    private func pair(_ a: Int, _ b: Int) -> Double {
        var sum = 0.0
        for (x, y) in zip(picks[a], picks[b]) {
            sum += Double(Set(x).intersection(y).count) / Double(max(1, y.count))
        }
        return sum / Double(picks[a].count)
    }
}
