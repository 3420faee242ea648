// SPDX-License-Identifier: Apache-2.0
import CKernels

/// How many of the tokens that it sees a row attends to, where it attends to a part of them: those that its query and a coarse
/// form of the keys, which is read for all tokens, say matter most (`kv_int8.h`).
public struct SparseAttention: Sendable, Equatable {
    /// The part of the tokens, above 0 and at most 1; tokens that hardly count are left out even so.
    public var share: Double
    /// The fewest tokens; a row that sees up to twice as many attends to all.
    public var least: Int
    /// Of each layer, whether its KV heads attend to the pages with the last ``localTokens`` instead, whatever their queries say, and to the very
    /// first ones; empty: none does.
    public var local: [[Bool]]

    /// Tokens at the end and at the beginning of a context that local heads see.
    public static let localTokens = Int(DKV_LOCAL_LAST), firstTokens = Int(DKV_SPARSE_FIRST)

    /// A part of the tokens.
    public init(share: Double, least: Int = 512, local: [[Bool]] = []) {
        precondition(share > 0 && share <= 1 && least > 0, "no share of tokens")
        self.share = share
        self.least = least
        self.local = local
    }

    /// Tokens that a row which sees `tokens` attends to; nil: all.
    public func kept(of tokens: Int) -> Int? {
        guard tokens > 2 * least, share < 1 else { return nil }
        return max(least, Int((Double(tokens) * share).rounded(.up)))
    }
}
