// SPDX-License-Identifier: Apache-2.0

/// The coded rows of one layer of one sequence under the paper's codec.
public struct PaperRows: Sendable, Equatable {
    /// Where fewer references than neighbours can be seen, the rest of a row's ids.
    static let none = UInt16.max

    /// Rows so far.
    public internal(set) var count = 0
    /// References, half precision, [references][columns]: sinks first, in order of position.
    var references: [Float16] = []
    /// Ordinals of each coded row's references, nearest first, [coded][neighbours]. Sinks are not coded.
    var ids: [UInt16] = []
    /// Latents, all of one length, [coded][bytes].
    var latents: [UInt8] = []

    /// No rows.
    public init() {}

    /// Bytes in memory, and in a file.
    public var byteCount: Int { 2 * references.count + 2 * ids.count + latents.count }
}
