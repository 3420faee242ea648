// SPDX-License-Identifier: Apache-2.0

/// One sequence's part of a step: a prefill chunk has many tokens, a decode has one.
public struct Segment: Sendable {
    /// Token ids, in order; at least one.
    public var tokens: [Int32]
    /// Position of the first token in its sequence. KV of all earlier positions is in the pages.
    public var position: Int
    /// The sequence's pages, in order, at least as many as its tokens so far (with these) need. The step writes only the
    /// places of its own tokens, so sequences may share pages of a common prefix.
    public var pages: [PageID]
    /// Whether the logits after the last token are wanted.
    public var wantsLogits: Bool
    /// The position from which on tokens attend to a part of those before them, if the pass was made so: where the output begins.
    public var sparseFrom: Int

    /// A segment; all of its tokens attend to all before them unless `sparseFrom` says otherwise.
    public init(tokens: [Int32], position: Int, pages: [PageID], wantsLogits: Bool, sparseFrom: Int = .max) {
        self.tokens = tokens
        self.position = position
        self.pages = pages
        self.wantsLogits = wantsLogits
        self.sparseFrom = sparseFrom
    }
}
