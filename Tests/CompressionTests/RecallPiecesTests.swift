// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Compression

@Suite struct RecallPiecesTests {
    @Test func everythingIsSaidTwice() {
        let texts: [[Int32]] = [(0..<400).map { $0 * 3 }, [7, 7, 7, 9]], pieces = RecallPieces.make(3, from: texts)
        #expect(RecallPieces.make(from: texts).isEmpty)
        #expect(RecallPieces.make(from: Array(repeating: texts[0], count: 6)).count == 6)
        #expect(RecallPieces.make(from: Array(repeating: texts[0], count: 60)).count == 8)
        #expect(pieces.count == 3 && pieces.allSatisfy { $0.count == RecallPieces.length })
        #expect(Set(pieces).count == 3 && pieces == RecallPieces.make(3, from: texts))
        #expect(Set(pieces.joined()).isSubset(of: texts.joined()))
        for piece in pieces {
            // What follows a pair of tokens in the second half followed it in the first.
            var next: [[Int32]: Set<Int32>] = [:], again = 0, half = piece.count / 2
            for i in 2..<half { next[[piece[i - 2], piece[i - 1]], default: []].insert(piece[i]) }
            for i in half + 2..<piece.count {
                again += next[[piece[i - 2], piece[i - 1]]]?.contains(piece[i]) == true ? 1 : 0
            }
            #expect(again > half * 6 / 10 && again < half * 19 / 20)
            // And not in the same places.
            #expect((0..<half).count { piece[$0] == piece[half + $0] } < half / 4)
        }
    }

    @Test func textsOfOneWordHaveNone() {
        #expect(RecallPieces.make(2, from: []).isEmpty && RecallPieces.make(2, from: [[5, 5, 5]]).isEmpty)
        #expect(RecallPieces.make(0, from: [[1, 2]]).isEmpty)
    }
}
