// SPDX-License-Identifier: Apache-2.0

/// The SplitMix64 generator (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
///
/// Small, fast and the same on every machine, which is what reproducible sampling needs.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    /// Makes a generator for one stream of a seed; streams of one seed are independent for all that matters here.
    init(seed: UInt64, stream: UInt64) {
        var mixer = SplitMix64(state: seed)
        state = mixer.next() ^ (stream &* 0x9E37_79B9_7F4A_7C15)
    }

    private init(state: UInt64) { self.state = state }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A number in [0, 1) with 53 random bits.
    mutating func nextUnit() -> Double {
        Double(next() >> 11) * 0x1p-53
    }
}
