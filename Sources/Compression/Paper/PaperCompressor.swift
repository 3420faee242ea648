// SPDX-License-Identifier: Apache-2.0

/// The paper's compressors of one model: a codec for each layer that has one.
public struct PaperCompressor: Sendable {
    /// What was chosen.
    public let settings: PaperSettings
    /// By layer of the model; nil where the checkpoint has no maps for a layer.
    public let layers: [PaperCodec?]
    /// Elements of a latent.
    public let latentWidth: Int

    /// The same maps under other settings.
    public func with(_ settings: PaperSettings) -> PaperCompressor {
        PaperCompressor(
            settings: settings,
            layers: layers.map { codec in
                codec.map {
                    PaperCodec(
                        layer: $0.layer, settings: settings, compressor: $0.compressor, decompressor: $0.decompressor)
                }
            }, latentWidth: latentWidth)
    }

    init(settings: PaperSettings, layers: [PaperCodec?], latentWidth: Int) {
        self.settings = settings
        self.layers = layers
        self.latentWidth = latentWidth
    }
}

/// What a checkpoint must fit.
public struct PaperTarget: Sendable {
    /// Layers of the model.
    public var layers: Int
    /// Elements of a row `[keys | values]` of the model: twice its KV heads times their dimension.
    public var rowWidth: Int
    /// Whether the model normalises the keys of each head (QK-norm).
    public var normalizesHeads: Bool
    /// SHA-256 of the model file in hexadecimal, for checkpoints that name the weights they were made for.
    public var digest: String

    /// A target.
    public init(layers: Int, rowWidth: Int, normalizesHeads: Bool, digest: String) {
        self.layers = layers
        self.rowWidth = rowWidth
        self.normalizesHeads = normalizesHeads
        self.digest = digest
    }
}
