// SPDX-License-Identifier: Apache-2.0
import Kernels

/// Keys and values of a prompt segment as the model computes them, all layers, until they are coded.
public final class SegmentRows {
    private let memory: ReservedMemory
    private let layerCount: Int
    private let tokens: Int
    private let columns: Int

    /// Room for `tokens` rows of `columns` elements in each layer.
    init(layers: Int, tokens: Int, columns: Int) throws(CompressionError) {
        memory = try CompressionError.reserve(4 * layers * tokens * columns)
        layerCount = layers
        self.tokens = tokens
        self.columns = columns
    }

    /// All layers.
    var layers: [Matrix] { (0..<layerCount).map(rows) }

    /// [tokens][columns], `[keys before rotation | values]`.
    public func rows(layer: Int) -> Matrix {
        Matrix(memory.floats(at: 4 * layer * tokens * columns), rows: tokens, columns: columns)
    }
}
