// SPDX-License-Identifier: Apache-2.0
import Kernels

/// The engine's own form of keys and values, and its own attention to a part of them, as generated tokens have it: of what was
/// computed, or of what a codec gives back of it.
public struct SparsePolicy: CachePolicy {
    /// Such as `sparse-50%`.
    public let name: String
    private let sparse: SparseAttention
    private let codec: (any CachePolicy)?

    /// Attention to a share of the tokens, in percent, but for local heads, [layer][KV head].
    ///
    /// - Parameter codec: What rows go through before they come to lie in pages; its bytes count too, since they are kept beside these.
    ///   One that itself selects tokens makes no sense here: its selection is not used.
    public init(percent: Int, local: [[Bool]], codec: (any CachePolicy)? = nil, name: String? = nil) {
        self.name = name ?? "sparse-\(percent)%"
        sparse = SparseAttention(share: Double(percent) / 100, local: local)
        self.codec = codec
    }

    /// Rounds nothing itself: pages do.
    ///
    /// - Throws: What the codec throws.
    public func compress(_ history: History) throws -> CompressedHistory {
        let shape = history.shape
        let layout = KVLayout(
            layers: shape.layers, kvHeads: shape.kvHeads, headDimension: shape.headDimension, dataType: .int8)
        let pages = (history.count * layout.pageBytes + KVLayout.pageTokens - 1) / KVLayout.pageTokens
        guard let coded = try codec?.compress(history) else {
            return CompressedHistory(bytes: CacheBytes(memory: pages), sparse: sparse)
        }
        let bytes = CacheBytes(memory: pages + coded.bytes.memory, disk: coded.bytes.disk)
        return CompressedHistory(bytes: bytes, sparse: sparse, restore: coded.restore)
    }
}
