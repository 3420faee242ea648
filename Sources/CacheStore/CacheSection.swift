// SPDX-License-Identifier: Apache-2.0

/// A part of a chunk, such as the coded rows of some layers. The store does not look into it.
public struct CacheSection: Sendable, Equatable {
    /// Names the section within its chunk; unique there.
    public let id: UInt32
    /// Its contents.
    public let bytes: [UInt8]

    /// A section.
    public init(id: UInt32, bytes: [UInt8]) {
        self.id = id
        self.bytes = bytes
    }
}
