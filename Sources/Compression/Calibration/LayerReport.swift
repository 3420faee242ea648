// SPDX-License-Identifier: Apache-2.0

/// What calibration found out about a layer.
public struct LayerReport: Sendable {
    /// Place in the model.
    public let layer: Int
    /// The quantisation step, in the metric's units.
    public let step: Double
    /// The share of the rows' energy that prediction leaves.
    public let residualShare: Double
    /// Columns that are coded at all.
    public let codedColumns: Int
    /// Bits of a row in a file, all counted but sinks' exact values, with the geometric distributions' tables replaced by
    /// the calibrated ones.
    public internal(set) var bitsPerRow = 0.0
    /// The same as a share of half precision.
    public internal(set) var ratio = 0.0
}
