// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Engine

@Suite struct StopMatcherTests {
    @Test func aStopAcrossPiecesIsFoundAndNothingOfItIsShown() {
        var matcher = StopMatcher(stops: ["END", "\n\n"])
        #expect(matcher.append("one E") == "one ")
        #expect(matcher.append("N") == "")
        #expect(matcher.append("D two") == "")
        #expect(matcher.hasStopped)
        #expect(matcher.append("three") == "")
        #expect(matcher.finish() == "")
    }

    @Test func whatLookedLikeAStopIsReleased() {
        var matcher = StopMatcher(stops: ["ENDE"])
        #expect(matcher.append("EN") == "")
        #expect(matcher.append("D!") == "END!")
        #expect(matcher.append("E") == "")
        #expect(matcher.finish() == "E")
        #expect(!matcher.hasStopped)
    }

    @Test func theEarliestStopWins() {
        var matcher = StopMatcher(stops: ["cd", "b"])
        #expect(matcher.append("abcd") == "a")
    }

    /// However a text is cut into pieces, what comes out is the text up to the first stop.
    @Test(arguments: 0..<100) func anyCutGivesTheSameText(seed: Int) {
        var random = SplitMix64(seed: UInt64(seed), stream: 1)
        let letters = ["a", "b", "é", "😀", "x"]
        let text = (0..<40).map { _ in letters.randomElement(using: &random)! }.joined()
        let stops = ["ab😀", "éé", "xbx"]
        let expected = stops.compactMap { text.firstRange(of: $0)?.lowerBound }.min().map { String(text[..<$0]) }
        var matcher = StopMatcher(stops: stops)
        var output = ""
        var rest = text[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...6, using: &random))
            rest = rest.dropFirst(piece.count)
            output += matcher.append(String(piece))
        }
        output += matcher.finish()
        #expect(output == expected ?? text)
        #expect(matcher.hasStopped == (expected != nil))
    }
}
