// SPDX-License-Identifier: Apache-2.0

/// A part of a prompt. Only templates write markup and control pieces, so no text can forge one.
public enum PromptPiece: Equatable, Sendable {
    /// Text, taken as it is: what looks like a control token in it stays text.
    case text(String)
    /// What a template's makers wrote: names of control tokens in it are those tokens.
    case markup(String)
    /// The control token of this name, such as `<|im_end|>`.
    case control(String)
}
