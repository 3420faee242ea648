// SPDX-License-Identifier: Apache-2.0
import SeededRandom

/// Makes hostile inputs of good ones. The same seed gives the same input.
struct Mutator {
    private var random: SplitMix
    private let seeds: [[UInt8]]
    private let words: [[UInt8]]

    /// - Parameters:
    ///   - seeds: Good inputs.
    ///   - words: What to put in the place of bytes, beside numbers at the borders of integers.
    init(seeds: [[UInt8]], words: [String], seed: UInt64) {
        random = SplitMix(state: seed)
        self.seeds = seeds
        self.words = words.map { Array($0.utf8) }
    }

    mutating func next() -> [UInt8] {
        var bytes = seeds[below(seeds.count)]
        for _ in 0...below(4) { mutate(&bytes) }
        return bytes
    }

    private mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(max(1, bound))) }

    /// A place, as likely near the beginning, where headers are, as anywhere.
    private mutating func place(_ bytes: [UInt8]) -> Int {
        below(random.next() & 1 == 0 ? bytes.count : min(bytes.count, 256))
    }

    private mutating func mutate(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return bytes.append(UInt8(below(256))) }
        let place = place(bytes)
        switch below(10) {
        case 0: bytes[place] ^= 1 << UInt8(below(8))
        case 1: bytes[place] = UInt8(below(256))
        case 2: bytes.removeSubrange(place...)
        case 3: bytes.removeSubrange(place..<min(bytes.count, place + 1 + below(32)))
        case 4:
            let piece = bytes[place..<min(bytes.count, place + 1 + below(64))]
            bytes.insert(contentsOf: Array(repeatElement(piece, count: 1 + below(3)).joined()), at: self.place(bytes))
        case 5:
            let other = seeds[below(seeds.count)]
            let first = below(other.count)
            replace(&bytes, at: place, other[first..<min(other.count, first + 1 + below(200))])
        case 6, 7:
            let borders: [UInt64] = [
                0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 1 << 62,
                .max >> 1, 1 << 63, .max, UInt64(bytes.count),
            ]
            let width = 1 << below(4), value = borders[below(borders.count)]
            replace(&bytes, at: place, (0..<width).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }[...])
        case 8 where !words.isEmpty: replace(&bytes, at: place, words[below(words.count)][...])
        case 9 where !words.isEmpty: bytes.insert(contentsOf: words[below(words.count)], at: place)
        default: bytes.swapAt(place, self.place(bytes))
        }
    }

    private func replace(_ bytes: inout [UInt8], at place: Int, _ piece: ArraySlice<UInt8>) {
        bytes.replaceSubrange(place..<min(bytes.count, place + piece.count), with: piece)
    }
}
