// SPDX-License-Identifier: Apache-2.0
import Kernels

/// A way to keep the keys and values of a long history in fewer bytes, or to read fewer of them.
///
/// Tokens that come after the history are exact and see each other whatever the policy, unless it is the engine's own attention
/// that is measured.
public protocol CachePolicy: Sendable {
    /// What users call it, such as `kivi-int4`.
    var name: String { get }

    /// Compresses a history.
    ///
    /// - Throws: What the policy finds wrong with it.
    func compress(_ history: History) throws -> CompressedHistory
}

/// What later tokens see of a history, and what keeping it costs.
public struct CompressedHistory: Sendable {
    /// All bytes that are kept.
    public var bytes: CacheBytes
    /// Turns a layer's exact rows into the rows as they come back from the compressed form, in place. Called once a layer,
    /// from several threads for different layers. Nil where rows stay exact.
    public var restore: (@Sendable (_ layer: Int, _ rows: Matrix) -> Void)?
    /// Chooses what later tokens attend to; nil where they attend to all of the history.
    public var selector: (any TokenSelector)?
    /// Keys and values are in the engine's own int8 pages, and later tokens attend to them as generated ones do in jobs; nil: fp32,
    /// as the runner says.
    public var sparse: SparseAttention?

    /// A compressed history.
    public init(
        bytes: CacheBytes, selector: (any TokenSelector)? = nil, sparse: SparseAttention? = nil,
        restore: (@Sendable (_ layer: Int, _ rows: Matrix) -> Void)? = nil
    ) {
        self.bytes = bytes
        self.selector = selector
        self.sparse = sparse
        self.restore = restore
    }
}

/// The tokens at both ends of a history that policies leave exact: attention sinks and the most recent ones.
public struct ExactEnds: Sendable, Equatable {
    /// Tokens at the beginning.
    public var sinks = 8
    /// Tokens at the end.
    public var recent = 128

    /// The customary eight sinks and 128 recent tokens.
    public init() {}

    /// Positions that may be compressed, in whole groups of `group` tokens; what is left over stays exact with the recent ones.
    public func middle(of tokens: Int, group: Int = 1) -> Range<Int> {
        let most = max(0, tokens - sinks - recent)
        let first = min(sinks, tokens)
        return first..<first + most / group * group
    }
}
