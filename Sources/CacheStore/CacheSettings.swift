// SPDX-License-Identifier: Apache-2.0
import Crypto
import Foundation

/// How much a cache keeps, for how long, and whether encrypted.
public struct CacheSettings: Sendable {
    /// Bytes of chunk files at most, all processes together. What others write within seconds may come on top for a moment.
    public var budget: Int
    /// How long a chunk is kept after it was made; nil for no limit.
    public var life: Duration?
    /// Bytes that stay free on the file system.
    public var freeFloor: Int
    /// The key that files are encrypted with, 256 bits; nil for plain files.
    public var secret: SymmetricKey?

    /// Settings for a cache.
    public init(
        budget: Int = 20 << 30, life: Duration? = .seconds(30 * 86400), freeFloor: Int = 2 << 30,
        secret: SymmetricKey? = nil
    ) {
        self.budget = budget
        self.life = life
        self.freeFloor = freeFloor
        self.secret = secret
    }

    /// The key in `DELTAKV_CACHE_KEY`: 32 bytes in base64, as `openssl rand -base64 32` prints. Nil where the variable is unset
    /// or empty.
    ///
    /// - Throws: ``CacheError/invalid(_:)`` for anything else; the message does not show the value.
    public static func secret(
        in environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(CacheError) -> SymmetricKey? {
        guard let text = environment["DELTAKV_CACHE_KEY"], !text.isEmpty else { return nil }
        guard let bytes = Data(base64Encoded: text), bytes.count == 32 else {
            throw .invalid("DELTAKV_CACHE_KEY must be 32 bytes in base64: make one with 'openssl rand -base64 32'")
        }
        return SymmetricKey(data: bytes)
    }
}
