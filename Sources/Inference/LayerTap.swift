// SPDX-License-Identifier: Apache-2.0
import Kernels

/// Looks into the layers of a ``ForwardPass``: calibration reads keys and values through it, evaluation replaces attention.
///
/// Rows are those of the step's segments, one segment after another. Called on the thread that runs the step, layer by layer.
public protocol LayerTap: AnyObject {
    /// Whether it looks at or replaces attention. Otherwise the last layer's is computed only for rows whose logits are wanted.
    var seesAttention: Bool { get }

    /// What enters a layer, [rows][hidden].
    func entered(layer: Int, residual: Matrix)

    /// A row is `[queries | keys | values]` as projected, heads one after another, with biases and norms of
    /// heads applied, before rotation; it may be changed.
    func projected(layer: Int, queryKeyValue: Matrix)

    /// The same rows with queries and keys rotated; keys and values are in the sequences' pages by now.
    ///
    /// - Returns: Whether `attended`, [rows][heads · head dimension], was written here, in place of attention over the pages.
    func attend(layer: Int, rotated: Matrix, to attended: Matrix) -> Bool
}

extension LayerTap {
    /// Most do.
    public var seesAttention: Bool { true }

    /// Most do not care.
    public func entered(layer: Int, residual: Matrix) {}
}
