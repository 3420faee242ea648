// SPDX-License-Identifier: Apache-2.0
import Crypto
import ModelFiles

/// A SHA-256 as a value that serves as a key of dictionaries.
struct CacheDigest: Hashable, Sendable, CustomStringConvertible {
    static let count = 32
    /// The digest's bytes in memory order.
    private let words: SIMD4<UInt64>

    /// No digest: all zero.
    init() { words = .zero }

    init(_ bytes: some Sequence<UInt8>) {
        var words = SIMD4<UInt64>.zero
        withUnsafeMutableBytes(of: &words) { target in
            for (index, byte) in bytes.prefix(Self.count).enumerated() { target[index] = byte }
        }
        self.words = words
    }

    init?(hexadecimal text: some StringProtocol) {
        let digits = Array(text.utf8)
        guard digits.count == 2 * Self.count else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = Self.value(digits[index]), let low = Self.value(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        self.init(bytes)
    }

    var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } }

    /// 64 digits, in lower case.
    var description: String { bytes.hexadecimal }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x61...0x66: digit - 0x57
        default: nil
        }
    }
}

extension SHA256 {
    /// A hash of something whose kind goes first, so that digests of different kinds never meet.
    static func labelled(_ label: String, _ body: (inout SHA256) -> Void) -> CacheDigest {
        var hash = SHA256()
        hash.update(data: Array("deltakv \(label) 1\0".utf8))
        body(&hash)
        return CacheDigest(hash.finalize())
    }

    /// Bytes of any length, with the length before them.
    mutating func update(counted bytes: [UInt8]) {
        withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { update(bufferPointer: $0) }
        update(data: bytes)
    }
}
