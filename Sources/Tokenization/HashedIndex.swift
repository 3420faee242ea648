// SPDX-License-Identifier: Apache-2.0

/// An open-addressing hash index from items, kept elsewhere, to their numbers.
///
/// The hash is seeded at random for each process, so a vocabulary cannot be made whose words all collide.
struct HashedIndex: Sendable {
    private static let seed = UInt64.random(in: .min ... .max) | 1

    private var slots: [Int32]
    private let mask: Int

    /// Makes an index for at most `capacity` items.
    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = Array(repeating: -1, count: size)
        mask = size - 1
    }

    /// The number of the item that `matches`, nil where there is none.
    @inline(__always)
    func find(hash: UInt64, where matches: (Int) -> Bool) -> Int? {
        var place = Int(truncatingIfNeeded: hash) & mask
        while slots[place] >= 0 {
            if matches(Int(slots[place])) { return Int(slots[place]) }
            place = (place + 1) & mask
        }
        return nil
    }

    /// Adds an item, or gives the item that `matches` a new number.
    mutating func insert(_ item: Int, hash: UInt64, where matches: (Int) -> Bool) {
        var place = Int(truncatingIfNeeded: hash) & mask
        while slots[place] >= 0, !matches(Int(slots[place])) { place = (place + 1) & mask }
        slots[place] = Int32(item)
    }

    /// A hash of one number.
    @inline(__always)
    static func hash(_ value: UInt64) -> UInt64 {
        let product = (value ^ seed).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
        return product.high ^ product.low
    }

    /// A hash of bytes.
    @inline(__always)
    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var state = UInt64(bytes.count)
        var offset = 0
        while offset + 8 <= bytes.count {
            state = hash(state ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        var tail: UInt64 = 0
        while offset < bytes.count {
            tail = tail << 8 | UInt64(bytes[offset])
            offset += 1
        }
        return hash(state ^ tail)
    }
}
