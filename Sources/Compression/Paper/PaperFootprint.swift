// SPDX-License-Identifier: Apache-2.0

/// What the paper's codec keeps of a token, as the paper counts it: layers that keep everything, and compressed layers with a
/// share of raw references and a latent for every token. Windows at both ends are not in it; ids of references only if asked.
public struct PaperFootprint: Sendable, Equatable {
    /// Layers of the model.
    public var layers: Int
    /// Layers that keep all tokens exactly.
    public var exactLayers: Int
    /// Elements of a row `[keys | values]`.
    public var rowWidth: Int
    /// Elements of a latent.
    public var latentWidth: Int
    /// How latents are kept.
    public var latents: LatentForm
    /// A reference every so many tokens.
    public var stride: Int
    /// Bytes of a token's references' ids in a layer: 16 in the published engine (four of 32 bits), 8 here; 0 counts none, as
    /// the paper's figures do.
    public var idBytes: Int

    /// A footprint.
    public init(
        layers: Int, exactLayers: Int, rowWidth: Int, latentWidth: Int, latents: LatentForm, stride: Int = 10,
        idBytes: Int = 0
    ) {
        self.layers = layers
        self.exactLayers = exactLayers
        self.rowWidth = rowWidth
        self.latentWidth = latentWidth
        self.latents = latents
        self.stride = stride
        self.idBytes = idBytes
    }

    /// Bytes of a token over all layers, with values in 16 bits.
    public var bytesPerToken: Double {
        let exact = 2 * Double(rowWidth)
        let compressed = exact / Double(stride) + Double(latents.bytes(latentWidth) + idBytes)
        return Double(exactLayers) * exact + Double(layers - exactLayers) * compressed
    }

    /// The same as a share of the uncompressed cache: the paper's keep ratio (KR).
    public var ratio: Double { bytesPerToken / Double(2 * rowWidth * layers) }
}
