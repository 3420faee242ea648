// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Engine

@Suite struct StopMatcherTests {
    @Test func aStopAcrossPiecesIsFoundAndNothingOfItIsShown() {
        var matcher = StopMatcher(stops: ["END", "\n\n"])
        let shown = ["one E", "N", "D two", "three"].map { matcher.append($0) } + [matcher.finish()]
        #expect(shown == ["one ", "", "", "", ""])
        #expect(matcher.hasStopped)
    }

    @Test func whatLookedLikeAStopIsReleased() {
        var matcher = StopMatcher(stops: ["ENDE"])
        let shown = ["EN", "D!", "E"].map { matcher.append($0) } + [matcher.finish()]
        #expect(shown == ["", "END!", "", "E"])
        #expect(!matcher.hasStopped)
    }

    @Test func theEarliestStopWins() {
        var matcher = StopMatcher(stops: ["cd", "b"])
        let shown = matcher.append("abcd")
        #expect(shown == "a")
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
