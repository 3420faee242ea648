// SPDX-License-Identifier: Apache-2.0
import CKernels

/// A page's place: its slab and its index in it.
public typealias KVPage = dkv_page

/// Where a token's K and V live: its page and its slot in it.
public typealias KVSlot = dkv_slot

/// The type of cached K and V elements.
public enum KVDataType: Sendable, CaseIterable {
    /// Signed bytes with a scale for each token's key and value of a head. Results are the same on every instruction set.
    case int8
    /// IEEE half precision; values beyond ±65504 are cut there.
    case float16
    /// Single precision.
    case float32
}

/// How KV pages are laid out: a page holds ``pageTokens`` tokens of all layers, and ``slabPages`` of them share a slab, in which the
/// parts of a head of a layer lie side by side. In f16 and f32 a slab is `[layer][K, V][KV head][page]`, where a head's K is
/// `[head dimension][token]` and its V `[token][head dimension]`; for int8 see `kv_int8.h`.
public struct KVLayout: Sendable, Equatable {
    /// Tokens of a page.
    public static let pageTokens = Int(DKV_PAGE_TOKENS)
    /// Raised whenever attention over pages gives other bits than before: what was computed then does not go with what is now.
    public static let revision = 3
    /// Pages of a slab.
    public static let slabPages = Int(DKV_SLAB_PAGES)
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
    /// How elements are kept.
    public let dataType: KVDataType

    /// A layout. The shape must be within the limits above.
    public init(layers: Int, kvHeads: Int, headDimension: Int, dataType: KVDataType) {
        precondition(layers > 0 && kvHeads > 0, "empty layout")
        precondition(
            headDimension > 0 && headDimension % Self.headDimensionStep == 0
                && headDimension <= Self.largestHeadDimension,
            "unsupported head dimension")
        self.layers = layers
        self.kvHeads = kvHeads
        self.headDimension = headDimension
        self.dataType = dataType
    }

    /// Bytes of a page.
    public var pageBytes: Int { layers * kvHeads * headBytes }

    /// Bytes of a slab.
    public var slabBytes: Int { Self.slabPages * pageBytes }

    /// Where a page is in slabs that lie one after another from the beginning of `memory`.
    public func place(ofPage page: Int, in memory: ReservedMemory) -> KVPage {
        let slab = memory.base + page / Self.slabPages * slabBytes
        return KVPage(slab: slab.assumingMemoryBound(to: CChar.self), index: UInt32(page % Self.slabPages))
    }

    /// Bytes of slabs for so many pages, and whether there is no such number.
    public func slabBytes(forPages pages: Int) -> (partialValue: Int, overflow: Bool) {
        slabBytes.multipliedReportingOverflow(by: (pages + Self.slabPages - 1) / Self.slabPages)
    }

    /// Bytes of the K and V of one head of a page.
    private var headBytes: Int {
        switch dataType {
        case .int8: Self.pageTokens * (2 * headDimension + 4)
        case .float16: Self.pageTokens * headDimension * 4
        case .float32: Self.pageTokens * headDimension * 8
        }
    }

    var shape: dkv_kv_shape {
        let type: dkv_kv_type =
            switch dataType {
            case .int8: DKV_KV_INT8
            case .float16: DKV_KV_F16
            case .float32: DKV_KV_F32
            }
        return dkv_kv_shape(kv_heads: kvHeads, head_dimension: headDimension, type: type)
    }
}
