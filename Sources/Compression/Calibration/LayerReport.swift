// SPDX-License-Identifier: Apache-2.0

/// What calibration found out about a layer.
public struct LayerReport: Sendable {
    /// Place in the model.
    public let layer: Int
    /// The quantisation step: the square root of what an error of that size costs.
    public let step: Double
    /// The share of the rows' energy that prediction leaves.
    public let residualShare: Double
    /// Bits of a coded row, without the exact values of sinks, under geometric distributions, which the calibrated ones
    /// undercut.
    public let bitsPerRow: Double
    /// The same as a share of half precision.
    public let ratio: Double
}
