// SPDX-License-Identifier: Apache-2.0

import Inference
import Kernels

/// What bounds an engine's memory and its steps.
public struct EngineSettings: Sendable, Equatable {
    /// Sequences that run at once; more wait.
    public var maxSequences: Int
    /// Tokens computed in a step, prompt chunks and generated tokens together.
    public var rowsPerStep: Int
    /// Bytes for the keys and values of all running sequences. Reserved, and used only as sequences grow.
    public var kvBytes: Int
    /// The form of keys and values in the cache.
    public var kvDataType: KVDataType
    /// What generated tokens attend to, with keys and values in int8; nil: to everything before them.
    public var sparse: SparseAttention?
    /// Tokens that a sequence whose prompt is coded generates before it makes room for others, if they wait for memory.
    public var turnTokens: Int

    /// Bytes that a KV page comes to: itself and, where prompts are coded, the coded rows of its tokens, for which a seventh of it
    /// is enough.
    public static func bytes(ofPage pageBytes: Int, coded: Bool) -> Int { pageBytes + (coded ? pageBytes / 7 : 0) }

    /// Makes settings.
    public init(
        maxSequences: Int = 32, rowsPerStep: Int = 512, kvBytes: Int = 4 << 30, kvDataType: KVDataType = .int8,
        sparse: SparseAttention? = SparseAttention(share: 0.5), turnTokens: Int = 256
    ) {
        self.maxSequences = maxSequences
        self.rowsPerStep = rowsPerStep
        self.kvBytes = kvBytes
        self.kvDataType = kvDataType
        self.sparse = sparse
        self.turnTokens = turnTokens
    }
}
