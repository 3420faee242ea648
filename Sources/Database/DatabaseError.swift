// SPDX-License-Identifier: Apache-2.0

/// Why a cluster, a location or a migration does not work, and what to do about it.
public struct DatabaseError: Error, Sendable, Hashable, CustomStringConvertible {
    /// One or more plain sentences.
    public let description: String

    /// An error with its text.
    public init(_ description: String) { self.description = description }
}
