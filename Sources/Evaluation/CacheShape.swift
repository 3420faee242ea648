// SPDX-License-Identifier: Apache-2.0
import Inference

/// The shape of a model's KV cache.
public struct CacheShape: Sendable, Equatable {
    /// Transformer layers.
    public let layers: Int
    /// Query heads of a layer.
    public let heads: Int
    /// KV heads of a layer; divides ``heads``.
    public let kvHeads: Int
    /// Elements of a head.
    public let headDimension: Int
    /// Of each layer, how many tokens a row attends to, itself among them; nil: to all before it.
    public let windows: [Int?]

    /// A shape; without `windows` all layers attend to everything.
    public init(layers: Int, heads: Int, kvHeads: Int, headDimension: Int, windows: [Int?]? = nil) {
        precondition(layers > 0 && kvHeads > 0 && headDimension > 0, "an empty cache")
        precondition(heads > 0 && heads % kvHeads == 0, "KV heads must divide query heads")
        self.layers = layers
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDimension = headDimension
        self.windows = windows ?? Array(repeating: nil, count: layers)
        precondition(self.windows.count == layers, "a window for each layer")
    }

    /// The shape of a model's cache.
    public init(_ configuration: ModelConfiguration) {
        self.init(
            layers: configuration.layers, heads: configuration.heads, kvHeads: configuration.kvHeads,
            headDimension: configuration.headDimension, windows: configuration.attentionWindows)
    }

    /// Elements of the keys (or the values) of a token in a layer.
    public var keyWidth: Int { kvHeads * headDimension }
    /// Elements of a row `[keys | values]`.
    public var rowWidth: Int { 2 * keyWidth }

    /// Bytes of the exact cache of a number of tokens in f16: what policies are measured against.
    public func exactBytes(tokens: Int) -> Int { tokens * layers * rowWidth * 2 }
}

/// The bytes that a compressed history takes, all of them: codes, scales, ids, windows.
public struct CacheBytes: Sendable, Equatable {
    /// In memory while later tokens are computed.
    public var memory: Int
    /// In a file.
    public var disk: Int

    /// Bytes in memory and, if they differ, in a file.
    public init(memory: Int, disk: Int? = nil) {
        self.memory = memory
        self.disk = disk ?? memory
    }

    static func + (a: CacheBytes, b: CacheBytes) -> CacheBytes {
        CacheBytes(memory: a.memory + b.memory, disk: a.disk + b.disk)
    }
}
