// SPDX-License-Identifier: Apache-2.0

/// What calibration found out about a layer.
public struct LayerReport: Sendable {
    /// Place in the model.
    public let layer: Int
    /// The quantisation step, in the metric's units.
    public let step: Double
    /// The share of the rows' energy that prediction leaves.
    public let residualShare: Double
    /// Bits of a coded row, without the exact values of sinks; of the first text's beginning, under geometric
    /// distributions, which the calibrated ones undercut.
    public let bitsPerRow: Double
    /// The same as a share of half precision.
    public let ratio: Double
}
