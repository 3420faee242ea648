// SPDX-License-Identifier: Apache-2.0
import Kernels

/// A calibrated codec for every layer of one model.
public final class Compressor: Sendable {
    /// SHA-256 of the model file that it was calibrated for, in hexadecimal.
    public let modelDigest: String
    /// What was chosen.
    public let settings: CodecSettings
    /// The distributions that all layers share.
    public let tables: CodeTables
    /// One codec a layer.
    public let layers: [LayerCodec]
    /// Layers that should pick the tokens that those after them attend to, in order; layer 0 first.
    public let observationLayers: [Int]

    /// A compressor of its parts.
    ///
    /// - Throws: ``CompressionError`` where they do not fit together.
    public init(
        modelDigest: String, settings: CodecSettings, tables: CodeTables, parameters: [LayerParameters],
        observationLayers: [Int]
    ) throws(CompressionError) {
        self.modelDigest = modelDigest
        self.settings = settings
        self.tables = tables
        self.observationLayers = observationLayers
        var layers: [LayerCodec] = []
        for (index, parameters) in parameters.enumerated() {
            guard parameters.columns > 0, parameters.sources <= index else {
                throw .degenerate(layer: index, reason: "it is predicted from layers that are not there")
            }
            layers.append(try LayerCodec(layer: index, settings: settings, parameters: parameters, tables: tables))
        }
        self.layers = layers
    }

    /// Elements of a row, the same in all layers.
    public var columns: Int { layers.first?.columns ?? 0 }
}
