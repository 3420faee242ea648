// SPDX-License-Identifier: Apache-2.0
import CacheStore
import SeededRandom

/// A document whose tokens and chunks follow from its number, so that any process can tell what a cache must hold.
public struct SampleDocument: Sendable {
    /// Tokens of a chunk.
    public static let segment = 16
    /// The document's number.
    public let number: UInt64
    /// How many chunks it has.
    public let chunks: Int

    /// A document. Neighbouring even and odd numbers share their first two chunks.
    public init(_ number: UInt64, chunks: Int = 5) {
        self.number = number
        self.chunks = chunks
    }

    /// What sample chunks depend on.
    public static func fingerprint(weights: String = "w") -> CacheFingerprint {
        CacheFingerprint(weights: weights, tokenizer: "t", compressor: "c", rope: "r", segment: segment)
    }

    /// The token ids.
    public var tokens: [Int32] {
        var shared = SplitMix(state: number / 2), own = SplitMix(state: number &+ 1 << 40)
        return (0..<chunks * Self.segment).map { index in
            Int32(truncatingIfNeeded: (index < 2 * Self.segment ? shared.next() : own.next()) % 50_000)
        }
    }

    /// The keys of its chunks in a store.
    public func chain(in store: CacheStore, salt: [UInt8] = []) -> ChunkChain {
        store.chain(Self.fingerprint(), salt: salt, segment: Self.segment, tokens: tokens)
    }

    /// What a chunk holds: it follows from the chunk's tokens and those before it.
    public func sections(_ index: Int) -> [CacheSection] {
        let before = tokens.prefix((index + 1) * Self.segment)
        var seed = before.reduce(UInt64(index)) { ($0 &* 31) &+ UInt64(UInt32(bitPattern: $1)) }
        var random = SplitMix(state: seed)
        seed = random.next()
        return (0..<3).map { id in
            let count = Int(random.next() % (id == 1 ? 9000 : 2000))
            let bytes = (0..<count).map { position in
                id == 1 ? UInt8(position / 7 & 0xff) ^ UInt8(seed & 0xff) : UInt8(truncatingIfNeeded: random.next())
            }
            return CacheSection(id: UInt32(id * 10), bytes: bytes)
        }
    }

    /// Whether a loaded chunk is the one that belongs there.
    public func isRight(_ chunk: LoadedChunk) -> Bool { chunk.sections == sections(chunk.index) }
}
