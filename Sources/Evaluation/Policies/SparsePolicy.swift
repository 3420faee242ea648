// SPDX-License-Identifier: Apache-2.0
import Kernels

/// The engine's own form of keys and values, and its own attention to a part of them, as generated tokens have it.
public struct SparsePolicy: CachePolicy {
    /// `sparse-P%`.
    public let name: String
    private let sparse: SparseAttention

    /// Attention to a share of the tokens, in percent, but for local heads, [layer][KV head].
    public init(percent: Int, local: [[Bool]]) {
        name = "sparse-\(percent)%"
        sparse = SparseAttention(share: Double(percent) / 100, local: local)
    }

    /// Changes no row: pages round them.
    public func compress(_ history: History) -> CompressedHistory {
        let shape = history.shape
        let layout = KVLayout(
            layers: shape.layers, kvHeads: shape.kvHeads, headDimension: shape.headDimension, dataType: .int8)
        let bytes = (history.count * layout.pageBytes + KVLayout.pageTokens - 1) / KVLayout.pageTokens
        return CompressedHistory(bytes: CacheBytes(memory: bytes), sparse: sparse)
    }
}
