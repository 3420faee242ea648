// SPDX-License-Identifier: Apache-2.0
import CKernels

/// Where a token's K and V live: the first byte of its page and its slot in it.
public typealias KVSlot = dkv_slot

/// How KV pages are laid out: a page holds ``pageTokens`` tokens of all layers, as `[layer][K, V][KV head]`, where a head's K
/// is `[head dimension][token]` and its V `[token][head dimension]`, in f16 or f32.
public struct KVLayout: Sendable, Equatable {
    /// Tokens of a page.
    public static let pageTokens = Int(DKV_PAGE_TOKENS)
    /// Tokens of a context chunk: attention reduces chunks apart, cut at absolute positions, and merges them in order.
    public static let chunkTokens = Int(DKV_CHUNK_TOKENS)
    /// Head dimensions must be a multiple of this …
    public static let headDimensionStep = 16
    /// … and at most this.
    public static let largestHeadDimension = Int(DKV_MAX_HEAD_DIMENSION)
    /// Most query heads that may share a KV head.
    public static let largestGroup = Int(DKV_TILE_ROWS)

    /// Transformer layers.
    public let layers: Int
    /// KV heads of a layer.
    public let kvHeads: Int
    /// Elements of a head.
    public let headDimension: Int
    /// Whether elements are f16 rather than f32.
    public let half: Bool

    /// A layout. The shape must be within the limits above.
    public init(layers: Int, kvHeads: Int, headDimension: Int, half: Bool) {
        precondition(layers > 0 && kvHeads > 0, "empty layout")
        precondition(
            headDimension > 0 && headDimension % Self.headDimensionStep == 0
                && headDimension <= Self.largestHeadDimension,
            "unsupported head dimension")
        self.layers = layers
        self.kvHeads = kvHeads
        self.headDimension = headDimension
        self.half = half
    }

    /// Bytes of a page.
    public var pageBytes: Int { layers * 2 * kvHeads * Self.pageTokens * headDimension * (half ? 2 : 4) }

    var shape: dkv_kv_shape { dkv_kv_shape(kv_heads: kvHeads, head_dimension: headDimension, half: half) }
}
